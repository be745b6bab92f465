package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	imageName = "hostrun-bench:latest"
	fullName  = "docker.io/library/" + imageName
	namespace = "hostrun-bench"
)

// A world is everything that the measurements run in: private daemons, the image in each, the borrowed environment.
type world struct {
	dir     string // of it all; removed at the end
	run     string // of the daemons' state; removed too
	bin     string // hostrun's binaries
	site    string // the borrowed site directory
	cache   string // hostrun's cache
	env     []string
	toolkit string // directory of NVIDIA's programs; "" where they are not measured
	ctrd    *daemon
	dockerd *daemon
	private *daemon // hostrun's own engine
	compose []composeTool
	started []*daemon
}

// A composeTool is one docker compose.
type composeTool struct {
	name string // and version
	args []string
}

// python is the distribution's: the image holds the same.
const python = "/usr/bin/python3"

func newWorld(bin, image string, say func(string, ...any)) (w *world, err error) {
	dir, err := os.MkdirTemp("", "hrb") // short: a socket's path has 107 bytes at most
	if err != nil {
		return nil, err
	}
	w = &world{dir: dir, bin: filepath.Join(dir, "bin"), cache: filepath.Join(dir, "cache")}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if err := install(bin, w.bin); err != nil {
		return w, err
	}
	if err := w.makeRunDir(); err != nil {
		return w, err
	}
	say("making a Python environment of %d files", treeFiles)
	if w.site, err = makeTree(filepath.Join(dir, "env"), python, treeFiles); err != nil {
		return w, err
	}
	say("starting containerd, dockerd and the private engine in %s", dir)
	if err := w.startDaemons(); err != nil {
		return w, err
	}
	w.environ()
	if w.compose, err = w.findCompose(); err != nil {
		return w, err
	}
	say("loading the image")
	if err := w.load(image); err != nil {
		return w, err
	}
	if err := w.writeFiles(); err != nil {
		return w, err
	}
	return w, w.verify()
}

// install copies programs, as make install and packages do. Go's linker writes through a mapping, which leaves the page cache with
// single pages: a start from there takes half a millisecond more, page by page, than from a file that was written in one go.
func install(from, to string) error {
	out, err := exec.Command("cp", "-a", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy the programs: %w\n%s", err, out)
	}
	return nil
}

// verify makes sure that what is measured is what is said: the container imports a package of the host, and the service of
// docker compose sees the same files.
func (w *world) verify() error {
	const ask = "import pack042; print(list(pack042.__path__)[0])"
	commands := []command{w.hostrun("run", "-T", "true", "--", "python3", "-c", ask)}
	for _, tool := range w.compose {
		commands = append(commands, w.composeCommand(tool, "run", "--rm", "-T", "bench", "python3", "-c", ask))
	}
	for _, c := range commands {
		_, out, err := c.run()
		if err != nil {
			return err
		}
		if !strings.Contains(string(out), "/pack042") {
			return fmt.Errorf("%s: the container does not see the host's packages: %s", strings.Join(c.args, " "), out)
		}
	}
	return nil
}

func (w *world) startDaemons() (err error) {
	if w.ctrd, err = startContainerd(w.dir, w.run); err != nil {
		return err
	}
	w.started = append(w.started, w.ctrd)
	if w.dockerd, err = startDockerd(w.dir, w.run, w.ctrd.socket); err != nil {
		return err
	}
	w.started = append(w.started, w.dockerd)
	if w.private, err = startEngine(w.bin, w.state("e"), filepath.Join(w.dir, "engine")); err != nil {
		return err
	}
	w.started = append(w.started, w.private)
	return nil
}

// environ is what every measured process gets: no colours, no proxies, no configuration of the person who measures.
func (w *world) environ() {
	w.env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + w.dir, "LANG=C.UTF-8",
		"CONTAINERD_ADDRESS=" + w.ctrd.socket, "DOCKER_HOST=unix://" + w.dockerd.socket,
		"HOSTRUN_NAMESPACE=" + namespace, "HOSTRUN_CACHE_DIR=" + w.cache,
		"HOSTRUN_STATE_DIR=" + w.state("hostrun"), "HOSTRUN_DATA_DIR=" + filepath.Join(w.dir, "lib"),
	}
}

// findCompose returns Debian's docker-compose and the compose v2 that setup.sh has built.
func (w *world) findCompose() ([]composeTool, error) {
	cache := os.Getenv("HOSTRUN_TEST_CACHE")
	if cache == "" {
		cache = "/var/cache/hostrun-test"
	}
	var tools []composeTool
	built := filepath.Join(w.dir, "compose-v2")
	if err := install(filepath.Join(cache, "compose-v2"), built); err != nil {
		return nil, fmt.Errorf("%w\nhint: integration/bench/setup.sh builds docker compose v2", err)
	}
	for _, program := range []string{"/usr/bin/docker-compose", filepath.Join(built, "docker-compose")} {
		if _, err := os.Stat(program); err != nil {
			return nil, fmt.Errorf("find docker compose: %w\nhint: integration/bench/setup.sh installs and builds both", err)
		}
		_, out, err := (command{args: []string{program, "version", "--short"}, env: w.env}).run()
		if err != nil {
			return nil, err
		}
		version := strings.TrimPrefix(strings.TrimSpace(string(out)), "v")
		tools = append(tools, composeTool{"docker compose " + version, []string{program}})
	}
	return tools, nil
}

// load gives the image to containerd, where hostrun and ctr share it, and to dockerd.
func (w *world) load(image string) error {
	for _, c := range []command{w.hostrun("load", "-i", image), w.privately("load", "-i", image), w.command("docker", "load", "--quiet", "-i", image)} {
		if _, _, err := c.run(); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) command(args ...string) command { return command{args: args, env: w.env, dir: w.dir} }

func (w *world) hostrun(args ...string) command {
	program := filepath.Join(w.bin, "hostrun")
	return w.command(append([]string{program, "--profile-dir", filepath.Join(w.dir, "profiles"), "--progress", "quiet"}, args...)...)
}

// privately is hostrun with its own engine.
func (w *world) privately(args ...string) command {
	return w.hostrun(append([]string{"--address", w.private.socket}, args...)...)
}

func (w *world) composeCommand(tool composeTool, args ...string) command {
	return w.command(append(append(tool.args, "-p", "bench", "-f", filepath.Join(w.dir, "compose.yaml")), args...)...)
}

// composeFile is composeCommand with another file and project.
func (w *world) composeFile(tool composeTool, name string, args ...string) command {
	return w.command(append(append(tool.args, "-p", "bench-"+name, "-f", filepath.Join(w.dir, "compose-"+name+".yaml")), args...)...)
}

// writeFiles writes the profiles, and the compose file with the same image, mounts and command as the profile "up".
// The service ends at SIGTERM at once: nobody measures a grace period here.
func (w *world) writeFiles() error {
	const service = `command: ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]`
	interpreter := filepath.Join(w.dir, "env", "bin", "python3")
	profile := "image: " + imageName + "\npython: {interpreter: " + interpreter + "}\n"
	compose := "services:\n  bench:\n    image: " + imageName + "\n    network_mode: host\n    " + service + "\n" +
		"    volumes: [\"" + w.site + ":/opt/site:ro\"]\n    environment: {PYTHONPATH: /opt/site}\n"
	files := map[string]string{
		"profiles/plain.yaml": "image: " + imageName + "\n" + service + "\n",
		"profiles/true.yaml":  profile + "command: [\"true\"]\n",
		"profiles/up.yaml":    profile + service + "\n",
		"compose.yaml":        compose,
	}
	for _, name := range eight() {
		files["profiles/"+name+".yaml"] = profile + service + "\n"
	}
	if err := os.MkdirAll(filepath.Join(w.dir, "profiles"), 0o755); err != nil {
		return err
	}
	return w.write(files)
}

// write writes files into the world's directory.
func (w *world) write(files map[string]string) error {
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// daemons are the processes that are to go on.
func (w *world) daemons() map[int]bool {
	pids := map[int]bool{}
	for _, d := range w.started {
		pids[d.cmd.Process.Pid] = true
	}
	return pids
}

// close stops what runs and removes everything.
func (w *world) close() error {
	if w.env != nil {
		w.hostrun("down", "-y", "--all").run()
		w.privately("down", "-y", "--all").run()
		for _, tool := range w.compose {
			w.composeCommand(tool, "down", "-t", "0").run()
		}
		if _, left, err := w.command("docker", "ps", "-aq").run(); err == nil { // of a table that failed
			w.command(append([]string{"docker", "rm", "--force"}, strings.Fields(string(left))...)...).run()
		}
		_ = w.endSupervisor()
	}
	for i := len(w.started) - 1; i >= 0; i-- {
		w.started[i].stop()
	}
	removeCgroups()
	return errors.Join(removeAll(w.dir), removeAll(w.run))
}

// buildImage makes the image's archive: the distribution's Python on a slim root, and the shell. It is what the demonstration uses.
func buildImage(repo, dir string) (string, error) {
	root := exec.Command(filepath.Join(repo, "integration", "image", "debian.sh"))
	root.Stderr = os.Stderr
	tar, err := root.Output()
	if err != nil {
		return "", fmt.Errorf("build the root of the image: %w", err)
	}
	out := filepath.Join(dir, "image.tar")
	pack := exec.Command("go", "run", "./integration/image", "-format", "docker", "-o", out, "-ref", imageName, "-cmd", "sh", strings.TrimSpace(string(tar)))
	pack.Dir = repo
	if text, err := pack.CombinedOutput(); err != nil {
		return "", fmt.Errorf("pack the image: %w\n%s", err, text)
	}
	return out, nil
}
