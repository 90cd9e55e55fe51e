//go:build noasm || !(amd64 || arm64)

package simd

func archTiers() []*kernels { return nil }
