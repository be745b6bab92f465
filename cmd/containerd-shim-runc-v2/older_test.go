//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	taskv2 "github.com/containerd/containerd/api/runtime/task/v2"
	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// a starting shim keeps what it is started with.
type starting struct {
	shim.Shim
	params    *bootapi.BootstrapParams
	namespace string
	err       error
}

func (s *starting) Start(ctx context.Context, params *bootapi.BootstrapParams) (*bootapi.BootstrapResult, error) {
	s.params = params
	s.namespace, _ = namespaces.Namespace(ctx)
	return &bootapi.BootstrapResult{Version: 3, Protocol: "ttrpc", Address: "unix:///run/containerd/s/1"}, s.err
}

// TestStartForOlder: a containerd that sends no parameters gets the address alone; for one that does nothing is read away.
func TestStartForOlder(t *testing.T) {
	line := []string{"shim", "-namespace", "ns", "-address", "/run/c.sock", "-publish-binary", "/usr/bin/containerd", "-id", "job"}
	params, err := proto.Marshal(&bootapi.BootstrapParams{InstanceID: "job", Namespace: "ns", ContainerdGrpcAddress: "/run/c.sock"})
	must(t, err)
	// What 1.6 to 2.3 send where a container has options.
	options, err := proto.Marshal(&anypb.Any{TypeUrl: "containerd.runc.v1.Options", Value: []byte("\x12\x04runc")})
	must(t, err)
	for name, c := range map[string]struct {
		args  []string
		input []byte
		err   error
		done  bool
		debug bool
	}{
		"1.6 without options":        {args: append(line, "start"), done: true},
		"1.6 with options":           {args: append(line, "start"), input: options, done: true},
		"1.6 in debug mode":          {args: append(line, "-debug", "start"), done: true, debug: true},
		"it does not start":          {args: append(line, "start"), err: errors.New("no room")},
		"2.4":                        {args: append(line, "start"), input: params},
		"the process that stays":     {args: line, input: []byte("kept")},
		"delete":                     {args: append(line, "-bundle", "/b", "delete"), input: []byte("kept")},
		"what no version knows":      {args: append(line, "-new", "start"), input: []byte("kept")},
		"the version is asked":       {args: []string{"shim", "-v"}, input: []byte("kept")},
		"parameters of another task": {args: []string{"shim", "-namespace", "ns", "-id", "other", "start"}, input: params, done: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			said := redirect(t, c.input)
			s := &starting{err: c.err}
			done, err := startForOlder(s, c.args)
			if done != c.done || !errors.Is(err, c.err) {
				t.Fatalf("done %t, %v", done, err)
			}
			address, _ := os.ReadFile("address")
			if !c.done {
				left, err := io.ReadAll(os.Stdin)
				must(t, err)
				if c.err == nil && string(left) != string(c.input) {
					t.Errorf("of %q on standard input %q is left", c.input, left)
				}
				if out := said(); out != "" || len(address) > 0 {
					t.Errorf("it says %q, and writes %q", out, address)
				}
				return
			}
			if out := said(); out != "unix:///run/containerd/s/1" || out != string(address) {
				t.Errorf("it says %q, and writes %q", out, address)
			}
			if s.namespace != "ns" || s.params.GetInstanceID() == "" || s.params.GetNamespace() != "ns" || (s.params.GetLogLevel() == bootapi.LogLevel_LOG_LEVEL_DEBUG) != c.debug {
				t.Errorf("it is started in %q with %v", s.namespace, s.params)
			}
		})
	}
}

// redirect gives the process this standard input, and takes its output.
func redirect(t *testing.T, input []byte) (said func() string) {
	t.Helper()
	in, out := os.Stdin, os.Stdout
	t.Cleanup(func() { os.Stdin, os.Stdout = in, out })
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "in"), input, 0o600))
	var err error
	os.Stdin, err = os.Open(filepath.Join(dir, "in"))
	must(t, err)
	os.Stdout, err = os.Create(filepath.Join(dir, "out"))
	must(t, err)
	return func() string {
		b, err := os.ReadFile(filepath.Join(dir, "out"))
		must(t, err)
		return string(b)
	}
}

// tasks answer two calls, and no other.
type tasks struct{ taskapi.TTRPCTaskService }

func (tasks) Connect(_ context.Context, r *taskapi.ConnectRequest) (*taskapi.ConnectResponse, error) {
	return &taskapi.ConnectResponse{ShimPid: 7, TaskPid: 8, Version: r.GetID()}, nil
}

func (tasks) Start(context.Context, *taskapi.StartRequest) (*taskapi.StartResponse, error) {
	return nil, errors.New("not today")
}

// TestSecondName: a client of the older service gets the answers of the newer one, and each of its calls has one.
func TestSecondName(t *testing.T) {
	server, err := ttrpc.NewServer()
	must(t, err)
	must(t, secondName{tasks{}}.RegisterTTRPC(server))
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	must(t, err)
	go func() { _ = server.Serve(context.Background(), l) }()
	defer server.Close()
	conn, err := net.Dial("unix", l.Addr().String())
	must(t, err)
	client := ttrpc.NewClient(conn)
	defer client.Close()
	older := taskv2.NewTTRPCTaskClient(client)
	r, err := older.Connect(t.Context(), &taskv2.ConnectRequest{ID: "job"})
	must(t, err)
	if r.GetShimPid() != 7 || r.GetTaskPid() != 8 || r.GetVersion() != "job" {
		t.Errorf("%v", r)
	}
	if _, err := older.Start(t.Context(), &taskv2.StartRequest{ID: "job"}); err == nil || !strings.HasSuffix(err.Error(), "not today") {
		t.Errorf("%v", err)
	}
	served := secondName{tasks{}}.methods()
	calls := reflect.TypeFor[taskv2.TTRPCTaskService]()
	for i := range calls.NumMethod() {
		if name := calls.Method(i).Name; served[name] == nil {
			t.Errorf("%s is not served", name)
		}
	}
}
