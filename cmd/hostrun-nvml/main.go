//go:build cgo

// Hostrun-nvml asks NVIDIA's management library of the GPUs at the PCI addresses that are its arguments, and writes what it
// learns to standard output, a JSON message a line (hostrun.dev/hostrun/devices/nvidia/nvml). It is a program of its own because
// the library opens device files, may wait for a dead GPU for ever, and may end the process; and because it needs cgo.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	lib "github.com/NVIDIA/go-nvml/pkg/nvml"

	"hostrun.dev/hostrun/devices/nvidia/nvml"
)

var version = "unreleased"

func main() {
	library := flag.String("library", "", "path of libnvidia-ml.so.1; the loader's choice by default")
	limit := flag.Duration("limit", 5*time.Minute, "end after this time, whatever the library does")
	asked := flag.Bool("version", false, "print the version, and end")
	flag.Parse()
	if *asked {
		fmt.Println("hostrun-nvml", version)
		return
	}
	time.AfterFunc(*limit, func() { os.Exit(1) })
	var options []lib.LibraryOption
	if *library != "" {
		options = append(options, lib.WithLibraryPath(*library))
	}
	out := json.NewEncoder(os.Stdout)
	// A parent that is gone closes the pipe, and SIGPIPE ends this process.
	ask(lib.New(options...), flag.Args(), func(m nvml.Message) { _ = out.Encode(m) })
	// nvmlShutdown is left to the end of the process: it may wait where that does not.
}
