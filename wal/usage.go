package wal

import "github.com/cockroachdb/pebble/v2/vfs"

// Usage returns the number of log files in a folder and their bytes.
func Usage(fsys vfs.FS, dir string) (files int, bytes int64, err error) {
	nums, err := List(fsys, dir)
	if err != nil {
		return 0, 0, err
	}
	for _, n := range nums {
		info, err := fsys.Stat(filePath(dir, n))
		if err != nil {
			continue // removed meanwhile
		}
		files, bytes = files+1, bytes+info.Size()
	}
	return files, bytes, nil
}
