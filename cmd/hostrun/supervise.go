package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
	"hostrun.dev/hostrun/supervise"
)

type superviseOptions struct {
	untilIdle bool
	revived   string // a revival; "" for one that nobody brings back but who started it
}

func superviseCommand(s *session) *cli.Command {
	var o superviseOptions
	return &cli.Command{
		Name: "supervise", Category: "containers", Usage: "restart and probe containers, as their profiles say", ArgsUsage: "",
		Description: page{
			about: "Looks after the containers of the namespace whose profiles have restart: or healthcheck:. hostrun up starts it in the background when it is first needed, and it ends " +
				"once nothing needs it; by hand it is needed only to have it run by something else, or to watch it. There is one for each namespace of a containerd. " +
				"It keeps no state: containers run on when it dies, and the next one goes on where it was. A container that was stopped by hostrun stop or kill stays stopped.\n\n" +
				"Each restart makes a fresh plan of the profile as it was at hostrun up. What no restart mends (exit statuses 65, 66, 69, 77, 78) is not tried again until somebody starts the container, or the machine boots.",
			examples: []string{"hostrun supervise", "hostrun supervise --log-level info   # and see what it does"},
			statuses: []int{0, finding.StatusFailed, finding.StatusUsage, finding.StatusTryAgain, finding.StatusPermission},
		}.on(s),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "until-idle", Usage: "end when no container needs it any more", Destination: &o.untilIdle},
			&cli.StringFlag{Name: "revived", Hidden: true, Destination: &o.revived},
		},
		Action: action(func(ctx context.Context) error { return runSupervise(ctx, s, o) }),
	}
}

// linger is how long a supervisor in the background stays when nothing needs it: the command that has started it is still making the
// container, or a person replaces one.
const linger = 5 * time.Second

func runSupervise(ctx context.Context, s *session, o superviseOptions) error {
	if err := s.none(); err != nil {
		return err
	}
	debug.SetGCPercent(50) // it waits most of its life: memory counts, and not the milliseconds
	debug.SetMemoryLimit(32 << 20)
	how, err := parseRevival(o.revived)
	if err != nil {
		return err
	}
	if o.untilIdle {
		lessLikelyKilled("-500")
	}
	client, dismiss, err := s.supervisesWith(ctx, o, how.settled(time.Now()))
	if err != nil {
		return err
	}
	defer dismiss()
	set := supervise.Settings{Log: s.superviseLog}
	if o.untilIdle {
		set.Linger = linger
	}
	for {
		release, err := client.LockSupervise()
		if errors.Is(err, runtime.ErrSupervised) && o.untilIdle {
			return nil // as good
		} else if err != nil {
			return supervisedError(s, err)
		}
		s.log.Info("supervise", "namespace", s.global.namespace, "address", client.Address())
		guarding, unguard := context.WithCancel(ctx)
		var guards sync.WaitGroup
		guards.Go(func() { client.GuardNetworks(guarding) })
		supervise.Run(ctx, &overseer{s: s, client: client}, set)
		unguard()
		guards.Wait()
		release()
		// A container that came after the last look, and whose command saw us at work.
		if again, err := needed(ctx, client); err != nil || !again {
			return nil
		}
	}
}

// supervisesWith connects to containerd. A supervisor in the background has somebody beside it from then on, until dismiss, who brings it back.
func (s *session) supervisesWith(ctx context.Context, o superviseOptions, how revival) (client *runtime.Client, dismiss func(), err error) {
	if o.revived == "" {
		client, err = s.containerd(ctx)
		return client, func() {}, err
	}
	select {
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-time.After(how.pause()):
	}
	beside := s.revivedBy(s.global.address, how)
	if client, err = s.containerdPatiently(ctx); err != nil {
		beside.dismiss()
	}
	return client, beside.dismiss, err
}

func supervisedError(s *session, err error) error {
	if !errors.Is(err, runtime.ErrSupervised) {
		return err
	}
	return finding.Errorf(finding.StatusTryAgain, "leave it at that, or end it first: its number is in the message",
		"%s: supervise the namespace %s: %w", finding.SuperviseRunning, s.global.namespace, err)
}

func needed(ctx context.Context, client *runtime.Client) (bool, error) {
	if ctx.Err() != nil {
		return false, nil
	}
	all, err := client.Supervised(ctx)
	for _, c := range all {
		if c.Needed() {
			return true, err
		}
	}
	return false, err
}

// An overseer is the world of package supervise: one namespace of one containerd.
type overseer struct {
	s      *session
	client *runtime.Client
}

// callPatience bounds a look: a containerd that hangs must not stop the clock.
const callPatience = 15 * time.Second

func (o *overseer) List(ctx context.Context) ([]supervise.Container, error) {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	all, err := o.client.Supervised(ctx)
	if err != nil && o.client.Address() == o.s.layout().Address() {
		err = errors.Join(err, o.wake(ctx))
	}
	return all, err
}

func (o *overseer) Look(ctx context.Context, id string) (supervise.Container, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	return o.client.SupervisedOne(ctx, id)
}

func (o *overseer) Watch(ctx context.Context, changed func(string)) error {
	return o.client.Watch(ctx, changed)
}

func (o *overseer) Probe(ctx context.Context, c supervise.Container) supervise.ProbeResult {
	var r supervise.ProbeResult
	if c.Check.GPU {
		r = o.s.probeAccelerators(ctx, o.client, c)
	} else {
		r = o.client.Probe(ctx, c)
	}
	o.s.log.Debug("probe", "container", c.ID, "healthy", r.Healthy, "output", r.Output)
	return r
}

func (o *overseer) Do(ctx context.Context, a supervise.Action) error {
	log := o.s.log.With(slog.String("container", a.Container.ID))
	switch a.Kind {
	case supervise.Settle:
		return o.client.SettleEnd(ctx, a.Container.ID)
	case supervise.Mark:
		log.Info("is "+a.Health, "output", a.Output)
		return o.client.NoteHealth(ctx, a.Container, a.Health, a.Output)
	case supervise.End:
		log.Info("is unhealthy: " + a.Container.Check.OnFailure)
		return o.client.EndUnhealthy(ctx, a.Container)
	case supervise.Restart:
		err := o.again(ctx, a.Container)
		if err == nil {
			log.Info("started again", "status", a.Container.ExitStatus)
			return nil
		}
		log.Warn("start it again", "error", err)
		return o.client.NoteRestartFailed(ctx, a.Container, err)
	}
	return fmt.Errorf("no such action: %v", a.Kind)
}

// notice tells a person that nobody looks after containers that should be looked after.
func (s *session) notice(all []listed) {
	seen := map[*runtime.Client]bool{}
	for _, c := range all {
		if seen[c.client] || c.client == nil || c.Unit != "" || c.Restart == "" && c.Health == "" || c.StoppedBy != "" || c.Refused != "" || !c.lives() && c.RestartAt == nil {
			continue
		}
		seen[c.client] = true
		if c.client.Supervisor() == 0 {
			s.note("nobody restarts or probes %s: hostrun supervise does not run (its log: %s)", c.Container.Container, c.client.SuperviseLog())
		}
	}
}

// supervised starts a supervisor in the background if the container, which runs, needs one and none is at work.
func (s *session) supervised(ctx context.Context, client *runtime.Client, id string) error {
	if _, needs, err := client.SupervisedOne(ctx, id); err != nil || !needs || client.Supervisor() != 0 {
		return err
	}
	if err := s.startSupervisor(ctx, client); err != nil {
		return finding.Errorf(finding.StatusFailed, "run it by hand, and see: hostrun supervise", "the container runs, and nobody restarts or probes it: start hostrun supervise: %w", err)
	}
	return nil
}

// superviseEnvironment is what a supervisor keeps of the environment of the command that starts it: where programs, CNI's plugins and
// firewalld are found, and whose shim keeps containers.
func superviseEnvironment() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "CNI_PATH", "HOSTRUN_SHIM", "DBUS_SYSTEM_BUS_ADDRESS", "GOCOVERDIR", "HOSTRUN_DIE_AT"} { // the last are those of tests
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// superviseLog passes on what a supervisor has to say. That a command is at work on a container is no warning: it is looked at again.
func (s *session) superviseLog(message string, args ...any) {
	level := slog.LevelWarn
	for _, arg := range args {
		if err, ok := arg.(error); ok && errors.Is(err, runtime.ErrBusy) {
			level = slog.LevelDebug
		}
	}
	s.log.Log(context.Background(), level, message, args...)
}
