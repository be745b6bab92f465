package runtime

import (
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs/pkg/errgrpc"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/pattern"
)

// native turns an error of a raw service call into one that errdefs understands.
func native(err error) error { return errgrpc.ToNative(err) }

// The OCI runtimes' own words for a command that can't be executed: runc's come from Go's os/exec, crun's from its
// exec.c ("executable file `x` not found in $PATH", "open executable").
var (
	notFoundWords = pattern.New("exec: \"[^\"]*\": (executable file not found in \\$PATH|no such file or directory|stat [^:]*: no such file or directory)|" +
		"exec: \\\\?\"[^\"]*\\\\?\": (executable file not found|stat [^:]*: no such file)|" +
		"executable file `[^']*['`] not found|(open executable|cannot find executable|exec [^:]*): No such file or directory|exec [^ :]+: no such file or directory")
	notExecWords = pattern.New("exec: \\\\?\"[^\"]*\\\\?\": (permission denied|is a directory)|exec format error|Exec format error|" +
		"exec [^ :]+: permission denied|(open executable|exec [^:]*|executable file[^:]*): Permission denied|is not executable")
)

// startError says in one sentence why a process did not start. doing is "start container x", command its argv[0].
func startError(doing, command string, err error) error {
	text := plainError(err).Error()
	switch {
	case notFoundWords.MatchString(text):
		return finding.Errorf(finding.StatusNotFound, "look into the image: hostrun run NAME -- ls -l, or correct command: in the profile",
			"%s: command %q: not found in the container", doing, command)
	case notExecWords.MatchString(text):
		return finding.Errorf(finding.StatusNotExec, "is it a program of this machine's architecture, and executable (chmod +x)?",
			"%s: command %q: not executable in the container", doing, command)
	case noSpace(err):
		return fullError(doing, err)
	case noLayerWords.MatchString(text):
		return noLayer(doing, err)
	}
	return fmt.Errorf("%s: %w", doing, ociCause(err))
}

// ociCause drops the layers of wrapping of containerd's shim, which say the same thing three times.
func ociCause(err error) error {
	text := plainError(err).Error()
	for _, prefix := range []string{"OCI runtime create failed: ", "OCI runtime start failed: ", "OCI runtime exec failed: "} {
		if _, after, ok := strings.Cut(text, prefix); ok {
			text = after
		}
	}
	text = strings.TrimPrefix(text, "runc create failed: ")
	text = strings.TrimSuffix(text, ": unknown")
	return &causeError{text: text, err: err}
}

// A causeError is err in fewer words.
type causeError struct {
	text string
	err  error
}

func (e *causeError) Error() string { return e.text }
func (e *causeError) Unwrap() error { return e.err }

// noSpace reports ENOSPC, of this process or in the daemon's words.
func noSpace(err error) bool {
	return err != nil && (errors.Is(err, unix.ENOSPC) || strings.Contains(err.Error(), unix.ENOSPC.Error()) ||
		errors.Is(err, unix.EDQUOT) || strings.Contains(err.Error(), unix.EDQUOT.Error()))
}

func fullError(doing string, err error) error {
	return &finding.Err{Err: &causeError{text: doing + ": no space left on the disk of containerd", err: err}, Status: finding.StatusFailed,
		Hint: "make room: hostrun images; hostrun rmi IMAGE\nsee what fills it: df -h /var/lib/containerd /var/lib/hostrun"}
}

// ErrNoContainer is wrapped by errors about a name that no container has.
var ErrNoContainer = errors.New("there is no such container")

// ErrNotRunning is wrapped by errors about a container that has ended.
var ErrNotRunning = errors.New("it does not run")

// A StateError says that container Name is not what a command needs: Err is ErrNoContainer or ErrNotRunning.
type StateError struct {
	Name string
	Err  error
}

func (e *StateError) Error() string { return "container " + e.Name + ": " + e.Err.Error() }
func (e *StateError) Unwrap() error { return e.Err }

// NoContainer is the error about a name that no container has.
func NoContainer(name string) error {
	return &finding.Err{Err: &StateError{name, ErrNoContainer}, Status: finding.StatusFailed, Hint: "hostrun ps -a lists the containers"}
}

func notRunning(name string) error {
	return &finding.Err{Err: &StateError{name, ErrNotRunning}, Status: finding.StatusFailed, Hint: "hostrun start " + name}
}

func foreignError(id, namespace string) error {
	return finding.Errorf(finding.StatusFailed,
		fmt.Sprintf("use another namespace: hostrun --namespace NAME ...\nor remove it with the tool that made it: ctr -n %s containers rm %s", namespace, id),
		"container %s: the name is in use by a container that hostrun did not make (namespace %s)", id, namespace)
}
