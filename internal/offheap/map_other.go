//go:build !unix

package offheap

func mapMemory(int) (mapped, data []byte) { return nil, nil }

func unmapMemory([]byte) {}
