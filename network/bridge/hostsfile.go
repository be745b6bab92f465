package bridge

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/network"
)

// writeHosts brings the changing part of a container's hosts file up to date.
func writeHosts(e network.Entry, all []network.Entry) error {
	if e.Hosts == "" {
		return nil
	}
	part := network.Hosts(e, all)
	if part == "" { // it shares the network of a container that has the host's
		hosts, err := os.ReadFile("/etc/hosts")
		if err != nil {
			return err
		}
		part = network.HostsMark + string(hosts)
	}
	if err := rewrite(e.Hosts, part); err != nil {
		return fmt.Errorf("write the hosts file of container %s: %w", e.ID, err)
	}
	return nil
}

// rewrite changes the file in place, for a container has it bound: its inode must stay. Who reads meanwhile sees the old
// lines, then the new ones: one write, of what mostly only grows at its end, and a file that is never empty.
func rewrite(path, part string) error {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := []byte(network.WithHosts(string(old), part))
	if bytes.Equal(old, text) {
		return nil
	}
	if _, err := f.WriteAt(text, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(text)))
}
