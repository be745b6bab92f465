package ascend

import (
	"fmt"
	"path"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// fitToolkit: torch_npu looks for CANN by the environment, and loads its libraries by name.
func fitToolkit(w Wants) []finding.Finding {
	if w.TorchNPU == "" || w.NPUs == 0 {
		return nil
	}
	variable, dir := toolkitOf(w.Env)
	switch {
	case w.Toolkit == nil && dir == "":
		return one(finding.AscendToolkit, finding.Error, "CANN", "no toolkit in image and mounts", "an image with CANN, or ascend: {toolkit: host}",
			"ImportError: libhccl.so: cannot open shared object file: No such file or directory. Please check that the cann package is installed. Please run 'source set_env.sh' in the CANN installation path.",
			"use an image with CANN, or borrow the host's: ascend: {toolkit: host}")
	case w.Toolkit == nil:
		return one(finding.AscendToolkit, finding.Error, variable, dir+" is not in the container", "the toolkit's directory",
			"ImportError: libhccl.so: cannot open shared object file: No such file or directory: "+variable+" names "+dir+", which the container does not have",
			"correct "+variable+", or mount the toolkit there")
	}
	return nil
}

// fitMixed finds a toolkit of the host that is bound over, or beside, that of the image.
func fitMixed(w Wants) []finding.Finding {
	if w.NPUs == 0 || w.ImageCANN == nil {
		return nil
	}
	for _, m := range w.HostMounts {
		if isToolkitPath(path.Clean(m)) {
			f := twoToolkits(*w.ImageCANN, "volumes: "+m)
			return []finding.Finding{f}
		}
	}
	return nil
}

// fitAllNodes: the driver's library opens each node that it sees, and one that is refused fails all (hicann/driver,
// uda_user_kernel_api.c, uda_dev_access).
func fitAllNodes(w Wants) []finding.Finding {
	if w.NPUs == 0 || w.NPUs >= w.All {
		return nil
	}
	for _, m := range w.HostMounts {
		if p := path.Clean(m); p == "/dev" || p == "/" {
			return one(finding.AscendAllNodes, finding.Error, "volumes", "the host's "+p+" is mounted, with "+fmt.Sprint(w.All)+" NPUs", "no mount there: the container gets "+fmt.Sprint(w.NPUs)+" of them",
				"dcmi module initialize failed. ret is -8005: the driver's library opens every NPU that it sees at "+p+", and the container may not open those that it was not given",
				"remove the volume: npus: brings the nodes that are needed")
		}
	}
	return nil
}

// isToolkitPath says whether a mount there brings CANN, or hides it: the driver's own directories do not.
func isToolkitPath(p string) bool {
	if p == "/usr/local/Ascend" {
		return true
	}
	rest, ok := strings.CutPrefix(p, "/usr/local/Ascend/")
	first, _, _ := strings.Cut(rest, "/")
	return ok && (first == "ascend-toolkit" || first == "nnal" || first == "latest" || first == "nnae" || first == "cann" || strings.HasPrefix(first, "cann-"))
}

// fitEntrypoint: CANN's images set their environment in ENTRYPOINT, and most of it in ENV too.
func fitEntrypoint(w Wants) []finding.Finding {
	if !w.Entrypoint || w.ImageCANN == nil || w.NPUs == 0 {
		return nil
	}
	if value, _ := valueOf(w.Env, "LD_LIBRARY_PATH"); strings.Contains(value, w.ImageCANN.Directory+"/lib64") || strings.Contains(value, w.ImageCANN.Real+"/lib64") {
		return nil
	}
	return one(finding.AscendEntrypoint, finding.Warning, "entrypoint", "entrypoint: in the profile", "the image's own, with command: for what it runs",
		"libascendcl.so: cannot open shared object file: No such file or directory: the image's ENTRYPOINT sources set_env.sh, and the profile replaces it",
		"remove entrypoint: and put the program under command:")
}

// fitNetwork: HCCL groups NPUs by the address of their host, and containers of a bridge are hosts of their own.
func fitNetwork(w Wants) []finding.Finding {
	if w.NPUs < 2 || w.NetworkMode != "bridge" {
		return nil
	}
	return one(finding.AscendNetwork, finding.Warning, "network_mode", w.NetworkMode, "network_mode: host",
		fmt.Sprintf("HCCL takes each network namespace for a server: with %d NPUs here and more in another container it waits until EI0006, connection timed out", w.NPUs),
		"network_mode: host, where NPUs of several containers work together")
}

// leastShared is what data loaders and HCCL's shared memory of one job fit into; 64 MiB, docker's default, is not.
const leastShared = 1 << 30

func fitSharedMemory(w Wants) []finding.Finding {
	if w.NPUs == 0 || w.SharedBytes == 0 || w.SharedBytes >= leastShared {
		return nil
	}
	return one(finding.AscendSharedMemory, finding.Warning, "shm_size", fmt.Sprintf("%d MiB", w.SharedBytes>>20), "1 GiB, and 16 GiB to train",
		"Bus error (core dumped): /dev/shm is full, or No space left on device: data loaders and HCCL share memory there",
		"remove shm_size:, which leaves half of the memory, or write shm_size: 16gb")
}

// fitVLLM compares the plugin of vLLM with what its own table says it is released with.
func fitVLLM(w Wants) []finding.Finding {
	row, known := vllmOf(w.VLLMAscend)
	if !known || w.NPUs == 0 {
		return nil
	}
	var got, want []string
	compare := func(name, have, listed string, same bool) {
		if have != "" && !same {
			got, want = append(got, name+" "+have), append(want, name+" "+listed)
		}
	}
	compare("torch_npu", w.TorchNPU, row.torchNPU, base(w.TorchNPU) == base(row.torchNPU))
	if w.Toolkit != nil {
		compare("CANN", w.Toolkit.Version, row.cann, w.Toolkit.Version == row.cann)
	}
	compare("Python", w.Python, row.first+" to "+row.last, compareVersions(w.Python, row.first) >= 0 && compareVersions(w.Python, row.last) <= 0)
	if len(got) == 0 {
		return nil
	}
	return one(finding.AscendVLLM, finding.Warning, "vllm_ascend", "vllm_ascend "+w.VLLMAscend+" with "+strings.Join(got, ", "), strings.Join(want, ", "),
		"vllm_ascend "+w.VLLMAscend+" is not released with "+strings.Join(got, ", ")+": undefined symbol, or ImportError: cannot import name, is how it shows",
		"take the image or the packages of its release: "+strings.Join(want, ", "))
}

// fitUnasked tells of an image that Ascend's runtime would give NPUs to.
func fitUnasked(w Wants) []finding.Finding {
	value, _ := valueOf(w.Env, "ASCEND_VISIBLE_DEVICES")
	if w.NPUs > 0 || w.Optional || value == "" || value == "void" || value == "none" {
		return nil
	}
	return one(finding.AscendUnasked, finding.Info, "ASCEND_VISIBLE_DEVICES", "ASCEND_VISIBLE_DEVICES="+value+" in the image", "npus: in the profile",
		"the image asks Ascend's runtime for NPUs "+value+", and the container gets none: the profile does not ask for any",
		"npus: [\""+value+"\"], if the job uses them")
}
