// Command probe is the observer of the conformance tests: a program in a container that says everything that a process can see
// of its surroundings, as one mapping of names to text. What starts the container does not matter to it, so two reports can be
// compared name by name. It is static and needs nothing of the image.
//
//	probe report [PATH...]           print the report, wait for a signal, say which it was, end with 0
//	probe listen PROTOCOL PORT...    answer each connection or datagram with the container's host name
//	probe dial PROTOCOL ADDRESS      ask such a one
//	probe lookup NAME                print the addresses of a name
//	probe ignore                     report nothing, end at no signal that can be ignored
//	probe use BYTES                  touch so much memory, and say so
//	probe split N                    start N processes that wait; print how many there are
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	if len(args) == 0 {
		args = []string{"report"}
	}
	var err error
	switch args[0] {
	case "report":
		err = report(args[1:])
	case "listen":
		err = listen(args[1], args[2:])
	case "dial":
		err = dial(args[1], args[2])
	case "lookup":
		err = lookup(args[1])
	case "ignore":
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
		fmt.Println("READY")
		time.Sleep(time.Hour)
	case "use":
		err = use(args[1])
	case "split":
		err = split(args[1])
	default:
		err = fmt.Errorf("unknown verb %q", args[0])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

// report prints what is seen, and waits: from outside more is to be seen of a process that lives.
func report(paths []string) error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.Signal(37))
	text, err := json.Marshal(observe(paths))
	if err != nil {
		return err
	}
	fmt.Printf("REPORT %s\n", text)
	fmt.Printf("SIGNAL %d\n", (<-ended).(syscall.Signal))
	return nil
}

func listen(protocol string, ports []string) error {
	host, _ := os.Hostname()
	for _, port := range ports {
		if protocol == "udp" {
			c, err := net.ListenPacket("udp", ":"+port)
			if err != nil {
				return err
			}
			go func() {
				b := make([]byte, 100)
				for {
					if _, from, err := c.ReadFrom(b); err == nil {
						_, _ = c.WriteTo([]byte(host+":"+port+"\n"), from)
					}
				}
			}()
			continue
		}
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintf(c, "%s:%s\n", host, port)
				_ = c.Close()
			}
		}()
	}
	fmt.Println("READY")
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	<-ended
	return nil
}

func dial(protocol, address string) error {
	c, err := net.DialTimeout(protocol, address, 3*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	if protocol == "udp" {
		if _, err := c.Write([]byte("?")); err != nil {
			return err
		}
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == io.EOF && line == "" {
		return fmt.Errorf("no answer")
	}
	fmt.Print(line)
	return nil
}

func lookup(name string) error {
	all, err := net.LookupHost(name)
	if err != nil {
		return err
	}
	for _, a := range all {
		if ip := net.ParseIP(a); ip.To4() != nil {
			fmt.Println(a)
		}
	}
	return nil
}

func use(size string) error {
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	b := make([]byte, n)
	for i := 0; i < n; i += 4096 {
		b[i] = 1
	}
	fmt.Println("USED", strings.Count(string(b[:1]), "\x01"))
	return nil
}

func split(count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	started := 0
	for range n {
		if exec.Command("/bin/sleep", "100").Start() == nil {
			started++
		}
	}
	fmt.Println("STARTED", started)
	return nil
}
