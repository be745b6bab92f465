package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"hostrun.dev/hostrun/integration/image/archive"
)

const (
	imageName  = "conformance:1"
	dressed    = "conformance-dressed:1" // with all that an image's configuration may say
	probePath  = "/probe"
	imageFile  = "image.tar"
	dressedTar = "dressed.tar"
	volumed    = "conformance-volumes:1" // with VOLUME
	volumedTar = "volumed.tar"
)

// applets are the programs of busybox that the cases use.
var applets = []string{"sh", "true", "false", "sleep", "echo", "cat", "id", "ls", "stty", "seq", "env", "pwd", "tty", "kill", "touch", "yes", "head", "wc", "mount", "rm", "test", "printf", "dd", "hostname", "tr", "sed", "grep"}

// prepareImage builds the probe, and two images with it, as archives that both sides load.
func prepareImage(dir string) error {
	program := filepath.Join(dir, "probe")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "./integration/conformance/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the probe: %w\n%s", err, text)
	}
	probe, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return err
	}
	file := func(path string, mode fs.FileMode, text string) archive.File {
		return archive.File{Path: path, Mode: mode, Content: []byte(text)}
	}
	files := []archive.File{
		file("bin", fs.ModeDir|0o755, ""), file("etc", fs.ModeDir|0o755, ""), file("root", fs.ModeDir|0o700, ""), file("tmp", fs.ModeDir|0o777|fs.ModeSticky, ""),
		file("proc", fs.ModeDir|0o755, ""), file("sys", fs.ModeDir|0o755, ""), file("dev", fs.ModeDir|0o755, ""),
		{Path: "home/app", Mode: fs.ModeDir | 0o755, UID: 1000, GID: 1000},
		file("work", fs.ModeDir|0o755, ""), file("filled/of-the-image", 0o644, "of the image\n"),
		file(probePath, 0o755, string(probe)), file("bin/busybox", 0o755, string(busybox)),
		file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\nother:x:1001:44::/nowhere:/bin/sh\n"),
		file("etc/group", 0o644, "root:x:0:\nbin:x:2:root\napp:x:1000:\nvideo:x:44:app\nextra:x:50:app,other\n"),
		file("etc/notexec", 0o644, "no program\n"), file("bin/damaged", 0o755, "no program\n"),
		file("bin/script", 0o755, "#!/bin/sh\necho script \"$@\"\n"),
	}
	for _, a := range applets {
		files = append(files, archive.File{Path: "bin/" + a, Mode: fs.ModeSymlink, Content: []byte("busybox")})
	}
	plain := archive.Image{Ref: imageName, Architecture: runtime.GOARCH, Format: archive.Docker, Layers: []archive.Layer{{Files: files}},
		Config: v1.ImageConfig{Env: []string{"PATH=/bin"}, Cmd: []string{probePath, "report"}}}
	if err := writeImage(filepath.Join(dir, imageFile), plain); err != nil {
		return err
	}
	plain.Ref = dressed
	plain.Config = v1.ImageConfig{
		Env: []string{"PATH=/bin:/usr/bin", "FROM_IMAGE=image", "EMPTY=", "HOME=/work"}, Entrypoint: []string{probePath}, Cmd: []string{"report", "/work"},
		User: "app", WorkingDir: "/work", StopSignal: "SIGQUIT", Labels: map[string]string{"of.the": "image", "both": "image"}, ExposedPorts: map[string]struct{}{"80/tcp": {}},
	}
	if err := writeImage(filepath.Join(dir, dressedTar), plain); err != nil {
		return err
	}
	plain.Ref = volumed
	plain.Config = v1.ImageConfig{Env: []string{"PATH=/bin"}, Cmd: []string{probePath, "report", "/filled", "/filled/of-the-image", "/home/app", "/made/by/volume"},
		Volumes: map[string]struct{}{"/filled": {}, "/home/app": {}, "/made/by/volume": {}}}
	return writeImage(filepath.Join(dir, volumedTar), plain)
}

func writeImage(path string, image archive.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := archive.Write(f, image); err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	return f.Close()
}
