//go:build linux

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"
)

// This file lets containerds of other versions use this shim, 1.6 and later (core/runtime/v2/README.md of containerd): hostrun names it to the
// system's containerd for its own containers.

// taskV2 is the second name of the task service: containerd before 2.0 calls it so. The messages of both are the same to the
// byte (containerd's api, runtime/task/v2 and v3: shim.proto).
const taskV2 = "containerd.task.v2.Task"

// older is loaded after the task service, and serves it under its second name.
var older = &plugin.Registration{Type: pluginType, ID: "older", Requires: []plugin.Type{plugins.TTRPCPlugin}, InitFn: func(ic *plugin.InitContext) (any, error) {
	tasks, err := ic.GetByID(plugins.TTRPCPlugin, "task")
	if err != nil {
		return nil, err
	}
	return secondName{tasks.(taskapi.TTRPCTaskService)}, nil
}}

type secondName struct{ tasks taskapi.TTRPCTaskService }

// RegisterTTRPC implements shim.TTRPCService.
func (s secondName) RegisterTTRPC(server *ttrpc.Server) error {
	server.RegisterService(taskV2, &ttrpc.ServiceDesc{Methods: s.methods()})
	return nil
}

func (s secondName) methods() map[string]ttrpc.Method {
	t := s.tasks
	return map[string]ttrpc.Method{
		"State": method(t.State), "Create": method(t.Create), "Start": method(t.Start), "Delete": method(t.Delete), "Pids": method(t.Pids),
		"Pause": method(t.Pause), "Resume": method(t.Resume), "Checkpoint": method(t.Checkpoint), "Kill": method(t.Kill), "Exec": method(t.Exec),
		"ResizePty": method(t.ResizePty), "CloseIO": method(t.CloseIO), "Update": method(t.Update), "Wait": method(t.Wait), "Stats": method(t.Stats),
		"Connect": method(t.Connect), "Shutdown": method(t.Shutdown),
	}
}

func method[Request, Response any](call func(context.Context, *Request) (Response, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		request := new(Request)
		if err := unmarshal(request); err != nil {
			return nil, err
		}
		return call(ctx, request)
	}
}

// startForOlder does what `start` has to for a containerd that does not send the parameters of 2.4 on standard input, and is done then;
// else standard input is as it was. The address alone is an answer that each version takes.
func startForOlder(s shim.Shim, args []string) (done bool, err error) {
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard) // what it does not know is left to containerd's own reading
	var id, namespace, address string
	var debug bool
	flags.StringVar(&id, "id", "", "")
	flags.StringVar(&namespace, "namespace", "", "")
	flags.StringVar(&address, "address", "", "")
	flags.String("publish-binary", "", "") // events go by TTRPC_ADDRESS
	flags.BoolVar(&debug, "debug", false, "")
	if flags.Parse(args[1:]) != nil || flags.Arg(0) != "start" {
		return false, nil
	}
	input, err := io.ReadAll(io.LimitReader(os.Stdin, 10<<20))
	if err != nil {
		return false, fmt.Errorf("read standard input: %w", err)
	}
	var params bootapi.BootstrapParams
	if len(input) > 0 && proto.Unmarshal(input, &params) == nil && params.GetInstanceID() == id && params.GetNamespace() == namespace {
		return false, giveBack(input)
	}
	level := bootapi.LogLevel_LOG_LEVEL_INFO
	if debug {
		level = bootapi.LogLevel_LOG_LEVEL_DEBUG
	}
	ctx := namespaces.WithNamespace(context.Background(), namespace)
	result, err := s.Start(ctx, &bootapi.BootstrapParams{InstanceID: id, Namespace: namespace, ContainerdGrpcAddress: address, LogLevel: level})
	if err != nil {
		return false, err
	}
	// containerd 1.6 looks for it here when it comes back, and the shim when it ends.
	if err := os.WriteFile("address", []byte(result.GetAddress()), 0o644); err != nil {
		return false, err
	}
	_, err = os.Stdout.WriteString(result.GetAddress())
	return true, err
}

// giveBack makes standard input what has been read from it.
func giveBack(input []byte) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	os.Stdin = r
	go func() {
		_, _ = io.Copy(w, bytes.NewReader(input))
		_ = w.Close()
	}()
	return nil
}
