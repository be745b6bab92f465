package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// A Waiter is a command that waits for devices, in the order in which they came.
type Waiter struct {
	Container string        `json:"container"`
	PID       int           `json:"pid"`
	Since     time.Time     `json:"since"`
	Asks      []devices.Ask `json:"asks"`

	number int
}

// A ticket is one place in the queue: a file that its process holds locked, so that it is nobody's once the process is dead.
type ticket struct {
	number int
	file   *os.File
	path   string
}

// queue is the place of one Reserve in it.
type queue struct {
	c      *Client
	w      Want
	ticket *ticket
	told   string
}

func queueDir(stateDir string) string { return filepath.Join(stateDir, "devices", "queue") }

// join takes the next place, once, and tells what it waits for whenever that changes.
func (q *queue) join(why finding.Finding) error {
	if q.ticket == nil {
		t, err := q.c.newTicket(Waiter{Container: q.w.Container, PID: os.Getpid(), Since: time.Now(), Asks: q.w.Asks})
		if err != nil {
			return err
		}
		q.ticket = t
	}
	before := 0
	for _, w := range Waiters(q.c.opt.StateDir) {
		if w.number < q.ticket.number {
			before++
		}
	}
	text := why.Message
	if before > 0 {
		text += fmt.Sprintf("; %d before it in the queue", before)
	}
	if text != q.told {
		q.told = text
		q.c.progress("Container "+q.w.Container, "Waiting", text)
	}
	return nil
}

func (q *queue) leave() {
	if q.ticket != nil {
		_ = os.Remove(q.ticket.path)
		_ = q.ticket.file.Close()
	}
}

// newTicket makes the file under the lock of the queue: it is locked before anyone can take it for a dead one's.
func (c *Client) newTicket(w Waiter) (*ticket, error) {
	dir := queueDir(c.opt.StateDir)
	if err := c.stateDir(dir); err != nil {
		return nil, fmt.Errorf("wait for devices: %w", err)
	}
	l := &deviceLocks{dir: dir, files: map[string]*os.File{}}
	if err := l.wait(context.Background(), choiceFile); err != nil {
		return nil, err
	}
	defer l.release()
	number := 1
	for _, n := range ticketNumbers(dir) {
		number = max(number, n+1)
	}
	text, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, fmt.Sprintf("%09d", number))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err == nil {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			_, err = f.Write(text)
		}
		if err != nil {
			_, _ = os.Remove(path), f.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("wait for devices: %w", err)
	}
	return &ticket{number: number, file: f, path: path}, nil
}

func ticketNumbers(dir string) []int {
	var all []int
	entries, _ := os.ReadDir(dir) // sorted by name
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// Waiters reads the tickets of living processes, first come first. It takes the queue's lock for a moment, so that no ticket is seen half made;
// dead ones go. A queue that can't be read has nobody in it: only fairness is lost.
func Waiters(stateDir string) []Waiter {
	dir := queueDir(stateDir)
	numbers := ticketNumbers(dir)
	if len(numbers) == 0 {
		return nil
	}
	l := &deviceLocks{dir: dir, files: map[string]*os.File{}}
	if err := l.wait(context.Background(), choiceFile); err != nil {
		return nil
	}
	defer l.release()
	var all []Waiter
	for _, n := range numbers {
		if w, ok := readTicket(filepath.Join(dir, fmt.Sprintf("%09d", n)), n); ok {
			all = append(all, w)
		}
	}
	return all
}

func readTicket(path string, number int) (Waiter, bool) {
	f, err := os.Open(path)
	if err != nil {
		return Waiter{}, false
	}
	defer f.Close()
	if !errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK) {
		_ = os.Remove(path)
		return Waiter{}, false
	}
	var w Waiter
	if err := json.NewDecoder(f).Decode(&w); err != nil {
		return Waiter{}, false
	}
	w.number = number
	return w, true
}

// claims are the devices that those who came before may use: what they name, or all of the kind where they ask for a number.
// So a big request is not starved by small ones that come later, and two that name different devices do not wait for each other.
func claims(inv devices.Inventory, waiting []Waiter, mine *ticket, container string) map[string]string {
	claimed := map[string]string{}
	for _, w := range waiting {
		if mine != nil && w.number >= mine.number || w.Container == container {
			continue
		}
		for _, name := range devices.Claims(inv, w.Asks) {
			if claimed[name] == "" {
				claimed[name] = w.Container
			}
		}
	}
	return claimed
}
