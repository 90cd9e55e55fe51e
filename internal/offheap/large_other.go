//go:build unix && !linux

package offheap

// adviseLarge does nothing: these systems choose the size of pages themselves.
func adviseLarge([]byte) {}
