// Probe prints what a container's process sees, as JSON. The tests build it and run it as the only file of an image.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

func main() {
	host, _ := os.Hostname()
	dir, _ := os.Getwd()
	groups, _ := os.Getgroups()
	out := map[string]any{
		"args": os.Args, "env": os.Environ(), "hostname": host, "dir": dir,
		"uid": os.Getuid(), "gid": os.Getgid(), "groups": groups,
		"files": map[string]string{}, "writable": map[string]bool{}, "status": status(),
	}
	for _, p := range os.Args[1:] {
		b, err := os.ReadFile(p)
		if err != nil {
			b = []byte(err.Error())
		}
		out["files"].(map[string]string)[p] = string(b)
		out["writable"].(map[string]bool)[p] = writable(p)
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func writable(p string) bool {
	if fi, err := os.Stat(p); err == nil && fi.IsDir() {
		p += "/probe-was-here"
	}
	f, err := os.OpenFile(p, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

// status is /proc/self/status by name.
func status() map[string]string {
	b, _ := os.ReadFile("/proc/self/status")
	m := map[string]string{}
	for _, line := range strings.Split(string(b), "\n") {
		if k, v, ok := strings.Cut(line, ":"); ok {
			m[k] = strings.TrimSpace(v)
		}
	}
	return m
}
