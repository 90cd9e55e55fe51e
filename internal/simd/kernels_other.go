//go:build noasm || !amd64

package simd

func archTiers() []*kernels { return nil }
