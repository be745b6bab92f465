// Hostrun starts ML containers straight through containerd, with Python packages and CUDA borrowed from the host, and
// proves before the start that both fit. Flags in, words and an exit status out: what it knows is in the packages.
package main

import (
	"context"
	"os"
	"runtime/debug"
)

func main() {
	// A command is over before its first 16 MB are allocated. Collecting at 4 MB, as Go would, takes a processor for a
	// millisecond or two while containerd and the OCI runtime want both.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, thisMachine()))
}
