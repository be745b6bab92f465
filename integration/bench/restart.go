package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"hostrun.dev/hostrun/supervise"
)

// restartTarget is what a restart may take beyond the pause before it.
const restartTarget = 300 * time.Millisecond

// A stage is a directory in a container with two pipes: the container says on one that it has begun, and ends when the other says so.
type stage struct {
	dir       string
	begun     *os.File
	end       *os.File
	beginning chan time.Time
}

// diver is the container's program: it dies with a status that asks for a restart.
const diver = `[sh, -c, "echo begun >/bench/begun; read line </bench/end; exit 3"]`

func newStage(dir string) (*stage, error) {
	s := &stage{dir: dir, beginning: make(chan time.Time, 8)}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for name, to := range map[string]**os.File{"begun": &s.begun, "end": &s.end} {
		path := filepath.Join(dir, name)
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			return nil, fmt.Errorf("make the pipe %s: %w", path, err)
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0) // both ways: it neither waits for the other end nor breaks with it
		if err != nil {
			return nil, err
		}
		*to = file
	}
	go func() {
		for lines := bufio.NewScanner(s.begun); lines.Scan(); {
			s.beginning <- time.Now()
		}
	}()
	return s, nil
}

func (s *stage) close() { s.begun.Close(); s.end.Close() }

// began waits for the container's process to begin.
func (s *stage) began() (time.Time, error) {
	select {
	case at := <-s.beginning:
		return at, nil
	case <-time.After(lookWait):
		return time.Time{}, errors.New("the container has not begun")
	}
}

// crash ends the process and returns how long it takes until the next one is at work.
func (s *stage) crash() (time.Duration, error) {
	begin := time.Now()
	if _, err := s.end.WriteString("now\n"); err != nil {
		return 0, err
	}
	at, err := s.began()
	return at.Sub(begin), err
}

// restartTable measures the time from a container's death to its next life.
func (w *world) restartTable(rounds int) (t table, err error) {
	s, err := newStage(filepath.Join(w.dir, "stage"))
	if err != nil {
		return t, err
	}
	defer s.close()
	ours := "image: " + imageName + "\nrestart: always\nvolumes: [\"" + s.dir + ":/bench\"]\ncommand: " + diver + "\n"
	if err := w.write(map[string]string{"profiles/crash.yaml": ours, "profiles/crashp.yaml": ours,
		"compose-crash.yaml": "services:\n  bench:\n    image: " + imageName + "\n    network_mode: host\n    restart: always\n    volumes: [\"" + s.dir + ":/bench\"]\n    command: " + diver + "\n"}); err != nil {
		return t, err
	}
	v2 := w.compose[len(w.compose)-1]
	results := []result{{subject: subject{name: "hostrun"}}, {subject: subject{name: "docker"}}, {subject: subject{name: "hostrun", note: "on its private engine"}}}
	ways := []struct{ up, down command }{
		{w.hostrun("up", "crash"), w.hostrun("down", "-y", "-t", "0", "crash")},
		{w.composeFile(v2, "crash", "up", "-d"), w.composeFile(v2, "crash", "down", "-t", "0")},
		{w.privately("up", "crashp"), w.privately("down", "-y", "-t", "0", "crashp")},
	}
	defer func() { err = errors.Join(err, w.endSupervisor(), settle(w.daemons())) }()
	for round := range warmups + rounds {
		for i, way := range ways {
			took, err := s.restarted(way.up, way.down)
			if err != nil {
				return t, fmt.Errorf("%s: %w", results[i].title(), err)
			}
			if round >= warmups {
				results[i].total.add(took - supervise.FirstPause)
				results[i].clean.add(took - supervise.FirstPause)
			}
		}
	}
	t = table{title: "A restart after a crash", results: results, explain: fmt.Sprintf("From the line that makes the process end with status 3 to the first line of the next one, with restart: always, less the pause of %v that both keep before the first restart.", supervise.FirstPause)}
	t.limit("restart, beyond the pause", results[0].total.median(), restartTarget)
	t.limit("private engine: restart, beyond the pause", results[2].total.median(), restartTarget)
	t.tell("hostrun / docker", fmt.Sprintf("%.2f", ratio(results[0].total, results[1].total)))
	return t, nil
}

// restarted starts the container, lets it run a while, and makes it crash.
func (s *stage) restarted(up, down command) (took time.Duration, err error) {
	if _, _, err := up.run(); err != nil {
		return 0, err
	}
	if _, err = s.began(); err == nil {
		time.Sleep(500 * time.Millisecond)
		took, err = s.crash()
	}
	_, _, downErr := down.run()
	return took, errors.Join(err, downErr)
}
