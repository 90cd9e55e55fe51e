package main

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// version is set by the release build's -ldflags "-X main.version=…".
var version string

type versionCmd struct{}

// versionInfo is the JSON of version.
type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (versionCmd) Run(a *app) error {
	v := versionInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Version = cmp.Or(v.Version, info.Main.Version)
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value
			}
		}
	}
	v.Version = cmp.Or(v.Version, "(devel)")
	if a.JSON {
		return a.printJSON(v)
	}
	a.printf("colbertdb %s %s %s\n", v.Version, v.Go, v.Platform)
	if v.Revision != "" {
		a.printf("revision %s\n", v.Revision)
	}
	return nil
}
