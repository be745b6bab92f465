package ascend

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend/ascendtest"
	"hostrun.dev/hostrun/finding"
)

// atbScript has the forms that the scripts of several releases have (cann/ascend-transformer-boost, scripts/set_env.sh).
const atbScript = `#!/bin/bash
set_env_path="${BASH_SOURCE[0]}"
if [[ -f "$set_env_path" ]] ;then
    atb_path=$(cd $(dirname $set_env_path); pwd)
    export ATB_HOME_PATH="${atb_path}/cxx_abi_${cxx_abi}"
    export LD_LIBRARY_PATH=$ATB_HOME_PATH/lib:$ATB_HOME_PATH/examples:$LD_LIBRARY_PATH
    export ATB_STREAM_SYNC_EVERY_KERNEL_ENABLE=0 # words, with = in them
    export ATB_WORKSPACE_MEM_ALLOC_GLOBAL=1
    export ATB_SHARE_MEMORY_NAME_SUFFIX=""
    export ASDOPS_LOG_LEVEL=ERROR
    export ASDOPS_LOG_PATH=~
    export ATB_CACHE="$HOME/cache"
    export ATB_RUN=$(id -u)
    export LCCL_PARALLEL=0 #
    # export ATB_OFF=1
fi
`

func makeNNAL(t *testing.T, root, dir string, abis ...string) {
	t.Helper()
	for _, abi := range abis {
		for _, name := range []string{"lib/libatb.so", "bin/atb", "examples/x"} {
			ascendtest.Write(t, root, dir+"/atb/8.5.0/atb/cxx_abi_"+abi+"/"+name, "")
		}
	}
	ascendtest.Write(t, root, dir+"/atb/8.5.0/version.info", "Ascend-cann-atb : 8.5.0\n")
	ascendtest.Write(t, root, dir+"/atb/set_env.sh", atbScript)
	symlink(t, root, "8.5.0", filepath.Join(dir, "atb/latest")[1:])
}

// borrowing are the edits of a container with the machine's toolkit, in an image without CANN.
func borrowing(t *testing.T, root string, options map[string]string, env ...string) (devices.Edits, []finding.Finding) {
	t.Helper()
	s := New(root)
	inv, err := s.Inventory(t.Context(), devices.Needs{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Edits(inv, inv.Devices[:1], devices.Ask{Options: options}, devices.Container{Env: env})
}

// TestNNAL: with the host's CANN come the acceleration libraries beside it, those for torch's ABI, with the environment that their own set_env.sh
// would make. They were left out, and operators of torch_npu that need libatb.so failed.
func TestNNAL(t *testing.T) {
	const home = "/usr/local/Ascend/nnal/atb/latest/atb/cxx_abi_"
	for name, c := range map[string]struct {
		toolkit, nnal string
		abis          []string
		options       map[string]string
		env           string
		home          string // "" for none
		id            string
	}{
		"torch of the older ABI": {"/usr/local/Ascend/cann-8.5.0", "", []string{"0", "1"}, map[string]string{"toolkit": "host", OptionABI: "0"}, "", home + "0", ""},
		"torch of the newer ABI": {"/usr/local/Ascend/cann-8.5.0", "", []string{"0", "1"}, map[string]string{"toolkit": "host", OptionABI: "1"}, "", home + "1", ""},
		"no torch":               {"/usr/local/Ascend/cann-8.5.0", "", []string{"0", "1"}, map[string]string{"toolkit": "host"}, "", home + "1", ""},
		"no torch, one ABI":      {"/usr/local/Ascend/cann-8.5.0", "", []string{"0"}, map[string]string{"toolkit": "host"}, "", home + "0", ""},
		"beside ascend-toolkit":  {"/usr/local/Ascend/ascend-toolkit/latest", "", []string{"0", "1"}, map[string]string{"toolkit": "host"}, "", home + "1", ""},
		"beside a named one": {"/opt/x/cann-8.5.0", "/opt/x/nnal", []string{"1"}, map[string]string{"toolkit": "/opt/x/cann-8.5.0"}, "",
			"/opt/x/nnal/atb/latest/atb/cxx_abi_1", ""},
		"the profile's choice":    {"/usr/local/Ascend/cann-8.5.0", "", []string{"0", "1"}, map[string]string{"toolkit": "host", OptionABI: "1"}, home + "0", home + "0", ""},
		"the profile's own":       {"/usr/local/Ascend/cann-8.5.0", "", []string{"0", "1"}, map[string]string{"toolkit": "host"}, "/opt/atb/cxx_abi_1", "", ""},
		"not torch's ABI":         {"/usr/local/Ascend/cann-8.5.0", "", []string{"1"}, map[string]string{"toolkit": "host", OptionABI: "0"}, "", "", finding.AscendATB},
		"no toolkit asked for":    {"/usr/local/Ascend/cann-8.5.0", "", []string{"1"}, nil, "", "", ""},
		"not installed":           {"/usr/local/Ascend/cann-8.5.0", "", nil, map[string]string{"toolkit": "host"}, "", "", ""},
		"of another installation": {"/opt/x/cann-8.5.0", "/usr/local/Ascend/nnal", []string{"1"}, map[string]string{"toolkit": "/opt/x/cann-8.5.0"}, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			ascendtest.Build(t, root, ascendtest.A2())
			makeToolkit(t, root, c.toolkit, ascendtest.ToolkitInfo("8.5.0", "C25", "C21"))
			if c.nnal == "" {
				c.nnal = "/usr/local/Ascend/nnal"
			}
			makeNNAL(t, root, c.nnal, c.abis...)
			var env []string
			if c.env != "" {
				env = append(env, "ATB_HOME_PATH="+c.env)
			}
			edits, found := borrowing(t, root, c.options, env...)
			mounted := slices.ContainsFunc(edits.Mounts, func(m *specs.Mount) bool {
				return m.HostPath == c.nnal && m.ContainerPath == c.nnal && slices.Contains(m.Options, "ro")
			})
			got, _ := valueOf(edits.Env, "ATB_HOME_PATH")
			if got != c.home || mounted != (c.home != "") {
				t.Errorf("ATB_HOME_PATH=%s, want %s; mounted: %v; %q", got, c.home, mounted, edits.Env)
			}
			if (len(found) == 0) != (c.id == "") || c.id != "" && (found[0].ID != c.id || found[0].Severity != finding.Warning) {
				t.Errorf("%+v", found)
			}
			if c.home == "" {
				return
			}
			if l := edits.PrependEnv["LD_LIBRARY_PATH"]; l[0] != c.home+"/lib" || l[1] != c.home+"/examples" || !strings.HasPrefix(l[2], c.toolkit+"/") {
				t.Errorf("%q", l)
			}
			if p := edits.PrependEnv["PATH"]; p[0] != c.home+"/bin" {
				t.Errorf("%q", p)
			}
			want := []string{"ATB_STREAM_SYNC_EVERY_KERNEL_ENABLE=0", "ATB_WORKSPACE_MEM_ALLOC_GLOBAL=1", "ATB_SHARE_MEMORY_NAME_SUFFIX=", "ASDOPS_LOG_LEVEL=ERROR", "LCCL_PARALLEL=0"}
			if i := slices.Index(edits.Env, want[0]); i < 0 || !slices.Equal(edits.Env[i:i+len(want)], want) || len(edits.Env) > i+len(want)+1 {
				t.Errorf("%q", edits.Env)
			}
		})
	}
}
