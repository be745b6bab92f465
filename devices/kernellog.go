package devices

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A KernelMessage is one record of the kernel's log (Linux, Documentation/ABI/testing/dev-kmsg).
type KernelMessage struct {
	Since time.Duration // since boot
	Text  string        // several lines, where it was printed so
}

// A Fault is what a device's driver wrote into the kernel's log about it.
type Fault struct {
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"`
	PCI     string    `json:"pci"`               // 0000:c1:00.0
	Part    string    `json:"part,omitempty"`    // of the device, in the driver's words: "GPU-I:05"
	Code    string    `json:"code"`              // "Xid 79"; "" where the driver gave none
	PID     int       `json:"pid,omitempty"`     // of the process that it came from, on the host
	Program string    `json:"program,omitempty"` // of that process
	Text    string    `json:"text"`
	// Job says that such faults are mostly the program's own: a bad address, an illegal instruction.
	Job bool `json:"job,omitempty"`
}

// maxKernelLog bounds what is read of the log, in bytes: the kernel's ring is 2 MiB on big machines.
const maxKernelLog = 16 << 20

// KernelLog reads what the kernel's log has now, oldest first. Only root may, on most machines; what a busy kernel has written over is
// gone.
func KernelLog(root string) ([]KernelMessage, error) {
	fd, err := syscall.Open(filepath.Join(root, "/dev/kmsg"), syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/kmsg", Err: err}
	}
	defer syscall.Close(fd)
	var all bytes.Buffer
	buf := make([]byte, 16<<10) // a record has 8 KiB at most (CONSOLE_EXT_LOG_MAX)
	for all.Len() < maxKernelLog {
		n, err := syscall.Read(fd, buf)
		switch {
		case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.EINTR): // written over while it was read: the next one is there
			continue
		case errors.Is(err, syscall.EAGAIN), n == 0 && err == nil:
			return ParseKernelLog(all.String()), nil
		case err != nil:
			return ParseKernelLog(all.String()), &os.PathError{Op: "read", Path: "/dev/kmsg", Err: err}
		}
		all.Write(buf[:n])
	}
	return ParseKernelLog(all.String()), nil
}

// ParseKernelLog reads records: "LEVEL,NUMBER,MICROSECONDS,FLAGS[,...];TEXT", each followed by lines of its dictionary, which begin with a
// space. A line that is none is passed over.
func ParseKernelLog(text string) []KernelMessage {
	var all []KernelMessage
	for line := range strings.Lines(text) {
		head, body, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ";")
		fields := strings.Split(head, ",")
		if !ok || strings.HasPrefix(line, " ") || len(fields) < 4 {
			continue
		}
		micro, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil || micro < 0 || micro > 1<<53 {
			continue
		}
		all = append(all, KernelMessage{Since: time.Duration(micro) * time.Microsecond, Text: unescape(body)})
	}
	return all
}

// unescape undoes what the kernel does to bytes that are not printable, and to backslashes: \x0a.
func unescape(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' {
			if n, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
