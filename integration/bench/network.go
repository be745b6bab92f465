package main

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"time"
)

// The ports that the services are published at: each side has its own, so that nobody is answered by the other one.
const (
	ourPort     = 18080
	privatePort = 18081
	theirPort   = 18082
)

// lookWait bounds how long a service may take to do what it is for.
const lookWait = 20 * time.Second

// server is a program for the image's Python that says who it is to whoever connects to port 80, and ends at SIGTERM at once.
func server(who string) string {
	return strconv.Quote(`import os, signal, socket
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
s = socket.create_server(("", 80))
while True:
    c = s.accept()[0]
    c.sendall(b"` + who + `")
    c.close()
`)
}

// networkTable compares a service with a published port on a bridge network: its start and its end.
func (w *world) networkTable(measure measurer) (table, error) {
	v2 := w.compose[len(w.compose)-1]
	head := "image: " + imageName + "\npython: {interpreter: " + filepath.Join(w.dir, "env", "bin", "python3") + "}\n"
	profile := func(port int) string {
		return fmt.Sprintf("%snetwork_mode: bridge\nports: [\"%d:80\"]\ncommand: [python3, -c, %s]\n", head, port, server(strconv.Itoa(port)))
	}
	err := w.write(map[string]string{
		"profiles/port.yaml": profile(ourPort), "profiles/portp.yaml": profile(privatePort),
		"compose-port.yaml": fmt.Sprintf("services:\n  bench:\n    image: %s\n    ports: [\"%d:80\"]\n    command: [python3, -c, %s]\n    volumes: [\"%s:/opt/site:ro\"]\n    environment: {PYTHONPATH: /opt/site}\n",
			imageName, theirPort, server(strconv.Itoa(theirPort)), w.site),
	})
	if err != nil {
		return table{}, err
	}
	service := func(name, note string, port int, up, down command) subject {
		up.after = func() error { return answered(port) }
		down.after = func() error { return silent(port) }
		return subject{name: name, note: note, steps: []command{up, down}}
	}
	results, err := measure(
		service("hostrun up, down", "", ourPort, w.hostrun("up", "port"), w.hostrun("down", "-y", "port")),
		service(v2.name+" up -d, down", "", theirPort, w.composeFile(v2, "port", "up", "-d"), w.composeFile(v2, "port", "down")),
		service("hostrun up, down", "on its private engine", privatePort, w.privately("up", "portp"), w.privately("down", "-y", "portp")),
	)
	if err != nil {
		return table{}, err
	}
	t := table{title: "A service with a published port: up and down", results: results,
		explain: "As above, but on a bridge network with one port published. Each up makes the network, each down removes it, as the service is the only one on it. " +
			"In between the port is asked, not counted, until the service answers by its name; after down it must not answer."}
	t.compareStep("hostrun up / "+v2.name+" up -d", 0, 1, 0, 0.5)
	t.compareStep("private engine: hostrun up / "+v2.name+" up -d", 2, 1, 0, 0.5)
	t.compareStep("hostrun down / "+v2.name+" down", 0, 1, 1, 0.5)
	t.tell("hostrun / "+v2.name+", up and down, until nothing is left", fmt.Sprintf("%.2f", ratio(results[0].clean, results[1].clean)))
	return t, nil
}

// ask returns what the service at a port of the machine says.
func ask(port int) (string, error) {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	said, err := io.ReadAll(conn)
	return string(said), err
}

// answered waits until the service at the port says its name, which is the port.
func answered(port int) error {
	var said string
	var err error
	for deadline := time.Now().Add(lookWait); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if said, err = ask(port); said == strconv.Itoa(port) {
			return nil
		}
	}
	return fmt.Errorf("port %d does not answer as it should: %q, %v", port, said, err)
}

// silent makes sure that nobody answers at the port.
func silent(port int) error {
	if said, err := ask(port); err == nil && said != "" {
		return fmt.Errorf("port %d still answers: %q", port, said)
	}
	return nil
}
