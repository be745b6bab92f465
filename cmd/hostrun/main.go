// Hostrun starts ML containers straight through containerd, with Python packages and CUDA borrowed from the host, and
// proves before the start that both fit. Flags in, words and an exit status out: what it knows is in the packages.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, thisMachine()))
}
