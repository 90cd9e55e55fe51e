package main

import (
	"context"
	"net/url"
	"os"
	"strings"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/multivector"
)

// encoderKeys names the environment variable with keys of encoding servers, as
// HOST=KEY,HOST=KEY. A key goes to its host alone: a collection's record may lead to any.
const encoderKeys = "COLBERTDB_ENCODER_KEY"

// isAddress reports whether a model's location is a server's address.
func isAddress(location string) bool {
	return strings.HasPrefix(location, "https://") || strings.HasPrefix(location, "http://")
}

// openServer opens the model of an encoding server.
func openServer(ctx context.Context, address string) (encoder.Encoder, error) {
	key, err := encoderKey(address)
	if err != nil {
		return nil, err
	}
	enc, err := multivector.Open(ctx, address, multivector.Options{Key: key})
	if err != nil {
		return nil, err
	}
	return enc, nil
}

// encoderKey is the key for an address, "" without one.
func encoderKey(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", usageError{err}
	}
	for i, pair := range strings.Split(os.Getenv(encoderKeys), ",") {
		host, key, ok := strings.Cut(strings.TrimSpace(pair), "=")
		switch {
		case pair == "":
		case !ok || host == "" || key == "": // the text may be a key: it is not shown
			return "", usagef("%s: entry %d is not HOST=KEY, such as api.example.com=KEY", encoderKeys, i+1)
		case host == u.Host:
			return key, nil
		}
	}
	return "", nil
}
