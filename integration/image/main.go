// Command image makes a container image from directories and tar files, without a daemon and without the network: what
// the demonstration, the tests and the benchmarks load into containerd.
//
//	go run ./integration/image -o dinov2.tar -ref dinov2:latest -workdir /workspace -cmd python3 -cmd job.py root.tar +job.py=/workspace/job.py
//
// Each argument is one layer, lowest first: a directory, a tar file, or +FILE=PATH for a single file.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"hostrun.dev/hostrun/integration/image/archive"
)

type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image: error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var img archive.Image
	flags := flag.NewFlagSet("image", flag.ExitOnError)
	out := flags.String("o", "", "archive to write (required)")
	flags.StringVar((*string)(&img.Format), "format", string(archive.OCI), "oci or docker")
	flags.StringVar(&img.Ref, "ref", "", "name of the image")
	flags.StringVar(&img.Architecture, "arch", runtime.GOARCH, "architecture, in Go's words")
	flags.StringVar(&img.Config.User, "user", "", "user[:group] of the container's processes")
	flags.StringVar(&img.Config.WorkingDir, "workdir", "", "working directory")
	flags.Var((*list)(&img.Config.Env), "env", "NAME=VALUE, repeatable")
	flags.Var((*list)(&img.Config.Cmd), "cmd", "one word of the command, repeatable")
	flags.Var((*list)(&img.Config.Entrypoint), "entrypoint", "one word of the entrypoint, repeatable")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *out == "" || flags.NArg() == 0 {
		return errors.New("usage: image -o FILE [-ref NAME] [flags] LAYER... (image -h lists the flags)")
	}
	if img.Format != archive.OCI && img.Format != archive.Docker {
		return fmt.Errorf("-format %s: it is oci or docker", img.Format)
	}
	for _, arg := range flags.Args() {
		layer, err := layerOf(arg)
		if err != nil {
			return err
		}
		img.Layers = append(img.Layers, layer)
	}
	return writeFile(*out, func(w io.Writer) error { return archive.Write(w, img) })
}

func layerOf(arg string) (archive.Layer, error) {
	if pair, ok := strings.CutPrefix(arg, "+"); ok {
		return singleFile(pair)
	}
	fi, err := os.Stat(arg)
	if err != nil {
		return archive.Layer{}, err
	}
	if fi.IsDir() {
		return archive.Layer{Dir: arg}, nil
	}
	return archive.Layer{Tar: arg}, nil
}

func singleFile(pair string) (archive.Layer, error) {
	file, path, ok := strings.Cut(pair, "=")
	if !ok {
		return archive.Layer{}, fmt.Errorf("+%s: want +FILE=PATH", pair)
	}
	fi, err := os.Stat(file)
	if err != nil {
		return archive.Layer{}, err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return archive.Layer{}, err
	}
	return archive.Layer{Files: []archive.File{{Path: path, Mode: fi.Mode().Perm(), Content: content}}}, nil
}

// writeFile leaves either the whole file or none.
func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name + ".part")
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return errors.Join(err, os.Remove(name+".part"))
	}
	return os.Rename(name+".part", name)
}
