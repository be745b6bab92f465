// Holder is the process of the storm's containers: it holds a lock for each device that its container was given, and writes down
// when somebody else has it. The kernel lets go of the locks with the process, however that ends.
package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	for _, path := range os.Args[1:] {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil || syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			_ = os.WriteFile(filepath.Join(filepath.Dir(path), "violation-"+filepath.Base(path)), []byte("by the container "+os.Getenv("HOSTNAME")), 0o600)
			os.Exit(1)
		}
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	select {
	case <-end:
	case <-time.After(time.Minute):
	}
}
