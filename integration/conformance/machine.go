package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// namespace is hostrun's, and the cgroup that docker's containers lie in.
const namespace = "hostrun-conformance"

// A machine is everything that the cases run in: daemons, network, the image in both.
type machine struct {
	dir      string // of it all
	bin      string // hostrun's programs
	env      []string
	docker   string // its version
	compose  string
	ours     string
	program  string // docker compose
	imported bool   // what hostrun runs is imported from docker's file
	ended    []chan error
	daemons  []*exec.Cmd
}

// newMachine starts what both sides need, or without docker what hostrun needs.
func newMachine(dir, bin string, docker bool) (m *machine, err error) {
	if bin, err = filepath.Abs(bin); err != nil {
		return nil, err
	}
	m = &machine{dir: dir, bin: bin}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	cache := os.Getenv("HOSTRUN_TEST_CACHE")
	if cache == "" {
		cache = "/var/cache/hostrun-test"
	}
	m.program = filepath.Join(cache, "compose-v2", "docker-compose")
	if err := m.mounts(); err != nil {
		return m, err
	}
	if err := m.wires(); err != nil {
		return m, err
	}
	if err := m.files(); err != nil {
		return m, err
	}
	if err := m.start(docker); err != nil {
		return m, err
	}
	m.env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + dir, "LANG=C.UTF-8", "COMPOSE_PARALLEL_LIMIT=6", "COMPOSE_ANSI=never", "COMPOSE_PROGRESS=quiet",
		"CONTAINERD_ADDRESS=" + m.socket("containerd"), "DOCKER_HOST=unix://" + m.socket("docker"), "DOCKER_CONFIG=" + dir,
		"HOSTRUN_NAMESPACE=" + namespace, "HOSTRUN_CACHE_DIR=" + filepath.Join(dir, "cache"),
		"HOSTRUN_STATE_DIR=/run/hostrun", "HOSTRUN_DATA_DIR=" + filepath.Join(dir, "data"),
		"FROM_CALLER=caller", "EMPTY_CALLER=", "OVER_DOTENV=caller",
	}
	for _, archive := range []string{imageFile, dressedTar, volumedTar} {
		for _, args := range [][]string{{"docker", "load", "--quiet", "-i", filepath.Join(dir, archive)}, {filepath.Join(bin, "hostrun"), "load", filepath.Join(dir, archive)}} {
			if args[0] == "docker" && !docker {
				continue
			}
			if r := m.run(args...); r.status != 0 {
				return m, fmt.Errorf("load the image: %v", r)
			}
		}
	}
	if !docker {
		return m, nil
	}
	m.docker = strings.TrimSpace(m.run("docker", "version", "--format", "{{.Server.Version}}").out)
	m.compose = strings.TrimPrefix(strings.TrimSpace(m.run(m.program, "version", "--short").out), "v")
	m.ours = strings.TrimSpace(m.run(filepath.Join(bin, "hostrun"), "version").out)
	return m, nil
}

func (m *machine) socket(name string) string { return filepath.Join("/run", name+".sock") }

// mounts gives the machine what daemons keep state in.
func (m *machine) mounts() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	for _, dir := range []string{"/run", "/var/lib/cni"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755"); err != nil {
			return fmt.Errorf("mount a file system in memory on %s: %w", dir, err)
		}
	}
	return nil
}

// The machine has one interface to the outside, where a peer lives who tries its ports.
const (
	ownAddress  = "192.0.2.1" // RFC 5737
	peerAddress = "192.0.2.2"
)

func (m *machine) wires() error {
	for _, line := range []string{
		"ip link set lo up", "ip netns add outside", "ip link add up0 type veth peer name peer0 netns outside",
		"ip address add " + ownAddress + "/24 dev up0", "ip link set up0 up", "ip -n outside address add " + peerAddress + "/24 dev peer0", "ip -n outside link set peer0 up",
		"ip -n outside link set lo up", "ip route add default via " + peerAddress,
	} {
		if text, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", line, err, text)
		}
	}
	return nil
}

// files are what the services mount and read. Both sides' descriptions lie in the same directory.
func (m *machine) files() error {
	for path, text := range map[string]string{
		"services/.env": "FROM_DOTENV=dotenv\nOVER_DOTENV=dotenv\nWITH_QUOTES=\"a b\"\nPORT_DOTENV=8123\n", "services/one.env": oneEnv, "services/two.env": twoEnv, "services/raw.env": rawEnv,
		"services/data/file": "of the host\n", "services/data/sub/file": "below\n", "services/single": "single\n", "services/order/none": "", "services/app/Dockerfile": dockerfile, "services/app/other.Dockerfile": "FROM conformance:1\nENV WHICH=other\n", "services/app/content": "content\n",
		"services/filter.json": `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chroot"], "action": "SCMP_ACT_ERRNO"}]}`,
	} {
		path = filepath.Join(m.dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, dir := range []string{"owned", "shared", "outer/inner"} {
		if err := os.MkdirAll(filepath.Join(m.dir, "services", dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chown(filepath.Join(m.dir, "services/owned"), 1000, 1000); err != nil {
		return err
	}
	shared, inner := filepath.Join(m.dir, "services/shared"), filepath.Join(m.dir, "services/outer/inner")
	for _, step := range []error{
		os.Chmod(m.dir, 0o755), // containers of other users pass through
		syscall.Mount("tmpfs", shared, "tmpfs", 0, "size=1m"), syscall.Mount("", shared, "", syscall.MS_SHARED, ""),
		syscall.Mount("tmpfs", inner, "tmpfs", 0, "size=1m"),
	} {
		if step != nil {
			return fmt.Errorf("make what is mounted: %w", step)
		}
	}
	return nil
}

func (m *machine) start(docker bool) error {
	config := filepath.Join(m.dir, "containerd.toml")
	text := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n",
		filepath.Join(m.dir, "containerd"), "/run/containerd", m.socket("containerd"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	if err := m.daemon("containerd", "containerd", "--config", config); err != nil || !docker {
		return err
	}
	return m.daemon("docker", "dockerd", "--containerd", m.socket("containerd"), "--data-root", filepath.Join(m.dir, "docker"), "--exec-root", "/run/docker",
		"--pidfile", "/run/docker.pid", "--host", "unix://"+m.socket("docker"), "--cgroup-parent", "/"+namespace+"-docker")
}

// daemonWait bounds how long a daemon may take to answer.
const daemonWait = 60 * time.Second

func (m *machine) daemon(name string, args ...string) error {
	log := filepath.Join(m.dir, name+".log")
	out, err := os.Create(log)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	m.daemons, m.ended = append(m.daemons, cmd), append(m.ended, ended)
	for deadline := time.Now().Add(daemonWait); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if conn, err := net.Dial("unix", m.socket(name)); err == nil {
			return conn.Close()
		}
		select {
		case err := <-ended:
			ended <- err
			text, _ := os.ReadFile(log)
			return fmt.Errorf("start %s: it ended at once (%v); its log ends in:\n%s", name, err, text[max(0, len(text)-2000):])
		default:
		}
	}
	return fmt.Errorf("start %s: no answer on %s", name, m.socket(name))
}

// close ends the daemons. What else there is ends with the machine's first process.
func (m *machine) close() {
	for i := len(m.daemons) - 1; i >= 0; i-- {
		_ = m.daemons[i].Process.Signal(syscall.SIGTERM)
		select {
		case <-m.ended[i]:
		case <-time.After(daemonWait):
			_ = m.daemons[i].Process.Kill()
		}
	}
}

// A result is how a command ended.
type result struct {
	args   []string
	status int
	out    string
	err    string
}

func (r result) String() string {
	return fmt.Sprintf("%s: status %d\n%s%s", strings.Join(r.args, " "), r.status, r.out, r.err)
}

// commandWait bounds a command. Nothing that the cases do takes so long.
const commandWait = 3 * time.Minute

func (m *machine) run(args ...string) result { return m.runWith("", args...) }

// runWith runs a command with text as its standard input; "" is none.
func (m *machine) runWith(stdin string, args ...string) result {
	cmd := exec.Command(args[0], args[1:]...)
	var out, errs strings.Builder
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = m.env, filepath.Join(m.dir, "services"), &out, &errs
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	cmd.WaitDelay = time.Second
	r := result{args: args}
	if err := cmd.Start(); err != nil {
		r.status, r.err = -1, err.Error()
		return r
	}
	timer := time.AfterFunc(commandWait, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	timer.Stop()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		r.status = exit.ExitCode()
	} else if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		r.status = -1
		errs.WriteString(err.Error())
	}
	r.out, r.err = out.String(), errs.String()
	return r
}
