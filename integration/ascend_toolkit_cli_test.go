package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hostrun.dev/hostrun/devices/ascend/ascendtest"
	"hostrun.dev/hostrun/integration/image/archive"
)

// initialise is a module of Python, written without its headers as in extension, whose import calls a function.
func initialise(name, function string) string {
	return "extern int " + function + "(void); extern void *PyModuleDef_Init(void *);\nstatic void *def[13] = {(void *)1, 0, 0, 0, 0, \"" + name +
		"\"};\nvoid *PyInit_" + name + "(void) { return " + function + "() == 42 ? PyModuleDef_Init(def) : 0; }\n"
}

// fakeCANN puts libraries of the real names into a machine: a driver, a CANN that needs it, ATB in both ABIs, and packages that need them, of
// which torch_npu goes to site and acl, which is CANN's own, into the toolkit. Each calls the next, down to the driver.
func fakeCANN(t *testing.T, root, site string) {
	t.Helper()
	driver, cann := filepath.Join(root, "usr/local/Ascend/driver/lib64"), filepath.Join(root, "usr/local/Ascend/cann-9.0.0")
	library := func(dir, name, source string, needs ...string) string {
		out := filepath.Join(dir, name)
		compile(t, source, out, append(needs, "-Wl,-soname,"+name, "-Wl,--allow-shlib-undefined", "-Wl,--no-as-needed")...)
		return out
	}
	sec := library(driver+"/common", "libc_sec.so", "int memcpy_s(void) { return 2; }")
	hal := library(driver+"/driver", "libascend_hal.so", "int drvGetDevNum(void) { return 40; }")
	runtime := library(cann+"/lib64", "libruntime.so", "int drvGetDevNum(void), memcpy_s(void); int rtGetDeviceCount(void) { return drvGetDevNum() + memcpy_s(); }", hal, sec)
	acl := library(cann+"/lib64", "libascendcl.so", "int rtGetDeviceCount(void); int aclInit(void) { return rtGetDeviceCount(); }", runtime)
	hccl := library(cann+"/lib64", "libhccl.so", "int aclInit(void); int HcclGetRootInfo(void) { return aclInit(); }", acl)
	library(cann+"/python/site-packages", "acl.so", initialise("acl", "aclInit"), acl)
	library(site+"/torch_npu", "_C.so", initialise("_C", "HcclGetRootInfo"), hccl, acl)
	nnal := filepath.Join(root, "usr/local/Ascend/nnal/atb")
	for abi, answer := range []string{"41", "aclInit()"} { // that of the other ABI loads, and is wrong
		library(fmt.Sprintf("%s/9.0.0/atb/cxx_abi_%d/lib", nnal, abi), "libatb.so", "int aclInit(void); int CreateContext(void) { return "+answer+"; }", acl)
	}
	library(site+"/torch_npu", "_atb.so", initialise("_atb", "CreateContext"), nnal+"/9.0.0/atb/cxx_abi_1/lib/libatb.so")
	ok(t, os.Symlink("9.0.0", filepath.Join(nnal, "latest")))
	ascendtest.Write(t, nnal, "set_env.sh", "echo hostrun does not run this; exit 1\nexport ATB_WORKSPACE_MEM_ALLOC_GLOBAL=1 # a word\n")
	for name, content := range map[string]string{
		"/torch_npu/__init__.py":                            "import os\nfrom torch_npu import _C\n",
		"/torch_npu/version.py":                             "__version__ = '2.9.0.post2'\n",
		"/torch_npu-2.9.0.post2.dist-info/METADATA":         "Metadata-Version: 2.1\nName: torch-npu\nVersion: 2.9.0.post2\n",
		"/torch_npu-2.9.0.post2.dist-info/RECORD":           "torch_npu/__init__.py,,\n",
		"/torch_npu-2.9.0.post2.dist-info/entry_points.txt": "[torch.backends]\ntorch_npu = torch_npu:_autoload\n",
	} {
		ascendtest.Write(t, site, name, content)
	}
	ascendtest.Write(t, root, "/usr/local/Ascend/cann-9.0.0/x86_64-linux/ascend_toolkit_install.info", ascendtest.ToolkitInfo("9.0.0", "C10"))
	ascendtest.Write(t, root, "/usr/local/Ascend/cann-9.0.0/set_env.sh", "echo hostrun does not run this; exit 1\n")
	ascendtest.Write(t, root, "/usr/local/Ascend/cann-9.0.0/opp/built-in/op_impl/ai_core/tbe/kernel/ascend910b/ops_math/add.o", "")
	ok(t, os.Symlink("cann-9.0.0", filepath.Join(root, "usr/local/Ascend/cann")))
}

const cannProgram = `import os, sys, torch_npu, acl
from torch_npu import _atb
print("tuning", os.environ["ATB_HOME_PATH"], os.environ["ATB_WORKSPACE_MEM_ALLOC_GLOBAL"])
print("loaded", os.environ["ASCEND_HOME_PATH"], acl.__file__)
print("libraries", os.environ["LD_LIBRARY_PATH"])
print("modules", os.environ["PYTHONPATH"])
for dir in (os.environ["ASCEND_HOME_PATH"], os.environ["ASCEND_HOME_PATH"] + "/lib64"):
    try: open(dir + "/x", "w"); print("written")
    except OSError as e: print(e.strerror)
print("/usr/local/Ascend/cann-9.0.0/bin" in os.environ["PATH"].split(":"), os.path.exists("/usr/bin/env"))
`

// TestMachineWithHostCANN: a plain image, the machine's torch_npu and the machine's CANN with ATB by ascend: {toolkit: host}. What the linker finds is proved
// before the start, and found in the container; what is missing is told by the linker's words, as far as the command imports it.
func TestMachineWithHostCANN(t *testing.T) {
	t.Parallel()
	var site string
	m, script := furnished(t, func(root string) {
		ascendtest.Build(t, root, ascendtest.A2())
		site = filepath.Join(filepath.Dir(root), "site")
		fakeCANN(t, root, site)
	}, nil)
	f, err := os.Create(filepath.Join(m.Shared(), "plain.tar"))
	ok(t, err)
	ok(t, archive.Write(f, slim(t, "docker.io/library/plain:latest")))
	ok(t, f.Close())
	job := func(name, asks, program string) {
		ok(t, os.WriteFile(filepath.Join(m.Shared(), name+".py"), []byte(program), 0o644))
		text := "image: plain\npull_policy: never\nstop_grace_period: 0s\npython: /srv/env/bin/python3\nnpus: [4]\n" + asks +
			"volumes: ['/shared/" + name + ".py:/job.py:ro']\ncommand: [python3, /job.py]\n"
		ok(t, os.WriteFile(filepath.Join(m.Shared(), "profiles", name+".yaml"), []byte(text), 0o644))
	}
	job("cann", "ascend: {toolkit: host}\n", cannProgram)
	job("path", "ascend: {toolkit: /usr/local/Ascend/cann}\n", cannProgram)
	job("without", "", cannProgram)
	job("other", "", "import json\nprint('json alone')\n")
	out, err := m.Run(script + `
hr load plain.tar >/dev/null
python3 -m venv --without-pip /srv/env
cp -a site/. /srv/env/lib/python3*/site-packages/
try hr check cann
try hr run cann
try hr run path
try hr check without
try hr run other
try hr check --strict other
mv /usr/local/Ascend/cann-9.0.0/lib64/libruntime.so /usr/local/Ascend/cann-9.0.0/lib64/libruntime.so.off
try hr check cann
try hr run cann
`)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cann, driver, atb := "/usr/local/Ascend/cann-9.0.0", "/usr/local/Ascend/driver/lib64", "/usr/local/Ascend/nnal/atb/latest/atb/cxx_abi_1"
	loaded := []string{"loaded " + cann + " " + cann + "/python/site-packages/acl.so\n", "tuning " + atb + " 1\n", "libraries " + strings.Join([]string{atb + "/lib", cann + "/lib64", driver + "/common", driver + "/driver", driver}, ":") + "\n",
		"modules " + cann + "/python/site-packages:" + cann + "/opp/built-in/op_impl/ai_core/tbe", "Read-only file system\nRead-only file system\n", "!written", "status 0"}
	expect(t, out, map[string][]string{
		"hr check cann":           {"cann: fits", "status 0", "!error["},
		"hr run cann":             loaded,
		"hr run path":             loaded,
		"hr check without":        {"error[HR171]", "libhccl.so: cannot open shared object file: No such file or directory", "ascend: {toolkit: host}", "status 78"},
		"hr run other":            {"json alone", "warning[HR171]", "status 0"},
		"hr check --strict other": {"error[HR171]", "status 78"},
		"hr check cann again":     {"libruntime.so: cannot open shared object file: No such file or directory", "status 78"},
		"hr run cann again":       {"libruntime.so: cannot open shared object file", "!loaded", "status 125"},
	})
}
