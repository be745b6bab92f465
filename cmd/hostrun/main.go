// Hostrun starts ML containers straight through containerd, with Python packages and CUDA borrowed from the host, and
// proves before the start that both fit. Flags in, words and an exit status out: what it knows is in the packages.
package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
)

func main() {
	// A command is over before its first 16 MB are allocated. Collecting at 4 MB, as Go would, takes a processor for a
	// millisecond or two while containerd and the OCI runtime want both.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	// A command waits in several system calls at once that Go takes for short ones: fifos that nobody has opened yet, the
	// cgroups' lock. Each keeps a processor (a P) until Go's monitor looks, which is after 10 ms where all was quiet.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(8, runtime.NumCPU()))
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, thisMachine()))
}
