//go:build tools

// Pins h2spec and what it is built of: `go build` in this folder takes the versions in go.mod and the sums in go.sum.
package tools

import (
	_ "github.com/summerwind/h2spec/cmd/h2spec"
	_ "github.com/summerwind/h2spec/cmd/h2specd"
)
