//go:build tools

// Pins grpc-go's interop programs and what they are built of: `go build` in this folder takes the versions in go.mod and the sums in
// go.sum.
package tools

import (
	_ "google.golang.org/grpc/interop/client"
	_ "google.golang.org/grpc/interop/http2"
	_ "google.golang.org/grpc/interop/server"
)
