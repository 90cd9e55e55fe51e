module github.com/colbertdb-go/colbertdb/internal/simd/gen

go 1.26.0
