#!/bin/bash
# `make gpu`: what only a machine with an NVIDIA GPU can show. Prints figures and keeps what may become a fixture. On a machine
# without one it says so and ends with status 69. A step that fails is told, the others go on, and the status is 1 then.
#
# HOSTRUN_GPU_OUT       where results are written (./gpu-results)
# HOSTRUN_GPU_DRIVER    the file that tells that the driver is loaded (/proc/driver/nvidia/version)
# HOSTRUN_GPU_PYTHON    an interpreter that has torch (python3, if it has; else that of the demonstration's environment)
# HOSTRUN_ENGINE        whose containerd: auto, system or private (private)
# HOSTRUN_CACHE         of `make demo`, whose packages and image are used (/var/cache/hostrun-demo)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
out=${HOSTRUN_GPU_OUT:-$PWD/gpu-results}
driver=${HOSTRUN_GPU_DRIVER:-/proc/driver/nvidia/version}
cache=${HOSTRUN_CACHE:-/var/cache/hostrun-demo}
run=/run/hostrun-gpu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin

step() { printf '\ngpu: %s\n' "$*"; }
failed=()
failure() { printf 'gpu: failed: %s\n' "$*" | tee -a "$out/figures.txt" >&2; failed+=("$1"); }
figure() { printf 'gpu: %-58s %s\n' "$1" "$2" | tee -a "$out/figures.txt"; }
die() {
	printf 'gpu: error: %s\n' "$1" >&2
	[ $# -lt 3 ] || printf 'gpu: hint: %s\n' "$3" >&2
	exit "$2"
}

[ -r "$driver" ] || die "no NVIDIA GPU can be used here: $driver is absent" 69 "run this on a machine on which nvidia-smi works; bin/hostrun doctor tells what is missing"
[ "$(id -u)" = 0 ] || die "containers are started by root" 77 "sudo make gpu"
mkdir -p "$out" "$run/profiles"
: >"$out/figures.txt"

step "Packages, and the programs"
export HOSTRUN_ENGINE=${HOSTRUN_ENGINE:-private}
"$top/integration/setup.sh" gpu || failure "packages of the distribution, which a machine without a network can't fetch"
# Programs that were built elsewhere do for a machine that can't fetch Go's modules.
make -C "$top" build || { [ -x "$top/bin/hostrun" ] && failure "make build: the programs that lie in bin/ are used"; } || die "hostrun could not be built" 1 "it needs Go, and its modules: build elsewhere, and copy bin/ here"
[ -x "$top/bin/hostrun-nvml" ] || die "bin/hostrun-nvml was not built" 1 "it needs gcc: make build says why"
hostrun() { "$top/bin/hostrun" "$@"; }

# milliseconds COMMAND...: how long it takes, in ms.
milliseconds() {
	local begin=$EPOCHREALTIME
	"$@" >/dev/null 2>&1 || return 1
	awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", (b - a) * 1000 }'
}

# median COMMAND...: of nine runs.
median() {
	local all='' one
	for _ in 1 2 3 4 5 6 7 8 9; do
		one=$(milliseconds "$@") || { echo "failed: $*"; return; }
		all+="$one"$'\n'
	done
	sort -n <<<"${all%$'\n'}" | sed -n 5p
}

step "What the machine has"
cp "$driver" "$out/version"
addresses=$(ls /proc/driver/nvidia/gpus 2>/dev/null || true)
figure "GPUs" "$(wc -w <<<"$addresses")"
[ -n "$addresses" ] || failure "the driver has no GPU: dmesg | grep NVRM says why"
# What the kernel says of them is a fake root of devices/nvidia's tests. Its files have no size before they are read, so tar alone would find
# nothing in them.
kernel=$out/kernel
rm -rf "$kernel"
mkdir -p "$kernel"
for p in /proc/driver/nvidia/version /proc/driver/nvidia/gpus /proc/driver/nvidia/capabilities /proc/driver/nvidia-caps /proc/driver/nvidia-nvswitch /proc/devices /sys/module/nvidia/srcversion; do
	[ ! -e "$p" ] || cp -r --parents --no-preserve=all "$p" "$kernel" 2>/dev/null || true
done
for a in $addresses; do
	for name in vendor device class numa_node local_cpulist; do
		cp --parents --no-preserve=all "/sys/bus/pci/devices/$a/$name" "$kernel" 2>/dev/null || true
	done
	readlink -f "/sys/bus/pci/devices/$a" >>"$kernel/pci-paths" || true
done
find /dev -name 'nvidia*' -type c -exec ls -l {} + >"$kernel/nodes" 2>/dev/null || true
find /usr/lib /usr/lib64 /opt/nvidia /run/nvidia/driver/usr -maxdepth 3 \( -name 'libcuda*.so*' -o -name 'libnvidia*.so*' -o -name 'libnvcuvid.so*' \) -exec ls -l {} + >"$kernel/libraries" 2>/dev/null || true
tar -C "$kernel" -cf "$out/kernel.tar" .
for words in "-q" "topo -m" "-L"; do
	# shellcheck disable=SC2086 # two words
	! command -v nvidia-smi >/dev/null || nvidia-smi $words >>"$out/nvidia-smi.txt" 2>&1 || true
done
# What NVIDIA's own tool would give, where it is installed, to be compared with ours.
! command -v nvidia-ctk >/dev/null || nvidia-ctk cdi generate --output="$out/nvidia-ctk.yaml" >/dev/null 2>&1 || true
# shellcheck disable=SC2086 # addresses hold no spaces
"$top/bin/hostrun-nvml" $addresses >"$out/nvml.jsonl" || failure "hostrun-nvml"

step "NVML's times: with no GPU open, and while one is held open"
# shellcheck disable=SC2086
figure "NVML, all GPUs, nothing open (ms, median of 9)" "$(median "$top/bin/hostrun-nvml" $addresses)"
held=() # all of them: what one keeps initialised is its own GPU
for node in /dev/nvidia[0-9]*; do
	if { exec {fd}<>"$node"; } 2>/dev/null; then held+=("$fd"); else failure "$node does not open"; fi
done
# shellcheck disable=SC2086
figure "NVML, all GPUs, ${#held[@]} held open (ms, median of 9)" "$(median "$top/bin/hostrun-nvml" $addresses)"
for fd in "${held[@]}"; do exec {fd}>&-; done
figure "persistence mode of the first GPU" "$(grep -o '"persistence":[a-z]*' "$out/nvml.jsonl" | head -n 1)"

step "Facts and devices, as hostrun records them"
hostrun facts >"$out/facts.json" || failure "hostrun facts"
hostrun devices --wide | tee "$out/devices.txt" || failure "hostrun devices"
hostrun devices --format json >"$out/devices.json" || failure "hostrun devices --format json"
hostrun export cdi >"$out/cdi.json" || failure "hostrun export cdi"
hostrun doctor >"$out/doctor.txt" 2>&1 || true
figure "hostrun devices, warm (ms, median of 9)" "$(median "$top/bin/hostrun" devices)"

step "The demonstration"
make -C "$top" demo 2>&1 | tee "$out/demo.txt" || failure "make demo: $out/demo.txt"

step "torch in a container"
export HOSTRUN_NAMESPACE=hostrun-gpu HOSTRUN_STATE_DIR=$run HOSTRUN_DATA_DIR=$cache/gpu-data
# The host's own torch: in the demonstration's image, which has none, or where that could not be made, on the host's own root.
python=${HOSTRUN_GPU_PYTHON:-$(command -v python3 || true)}
{ [ -n "$python" ] && "$python" -c 'import torch' 2>/dev/null; } || python=$(compgen -G "$cache/venv-*/bin/python3" | head -n 1 || true)
lends=$python
if [ -z "$python" ]; then
	failure "no Python with torch: name one, HOSTRUN_GPU_PYTHON=/opt/venv/bin/python3 make gpu; libcuda alone is tried"
	lends=none
fi
image=$(compgen -G "$cache/dinov2-*.tar" | head -n 1 || true)
where='rootfs: host'
case $python in "$cache"/*) [ -z "$image" ] || where='image: dinov2:latest' ;; esac
[ "$where" = 'rootfs: host' ] || hostrun load "$image"
printf '%s\n%s\n' "$where" "python: $lends" | tee "$run/profiles/none.yaml" >"$run/profiles/gpu.yaml"
echo 'command: ["true"]' >>"$run/profiles/none.yaml"
cat >>"$run/profiles/gpu.yaml" <<'PROFILE'
gpus: all
command:
  - python3
  - -c
  - |
    import time, torch
    print("available", torch.cuda.is_available(), "torch", torch.__version__, "CUDA", torch.version.cuda)
    assert torch.cuda.is_available()
    n = 8192
    for i in range(torch.cuda.device_count()):
        a = torch.randn(n, n, device=f"cuda:{i}", dtype=torch.bfloat16)
        b = torch.randn(n, n, device=f"cuda:{i}", dtype=torch.bfloat16)
        for _ in range(3):
            a @ b
        torch.cuda.synchronize(i)
        begin = time.perf_counter()
        for _ in range(20):
            c = a @ b
        torch.cuda.synchronize(i)
        took = (time.perf_counter() - begin) / 20
        small = (a[:64].float() @ b.float()).cpu()
        error = (c[:64].float().cpu() - small).abs().max() / small.abs().max()
        assert error < 0.02, error
        print(f"GPU {i} {torch.cuda.get_device_name(i)}: {2 * n**3 / took / 1e12:.0f} TFLOPS in bfloat16")
PROFILE
# Without torch: libcuda by the name that programs look for, what it counts, and memory of each GPU there and back.
sed '/^command:/,$d' "$run/profiles/gpu.yaml" >"$run/profiles/libcuda.yaml"
cat >>"$run/profiles/libcuda.yaml" <<'PROFILE'
command:
  - python3
  - -c
  - |
    import ctypes
    cuda = ctypes.CDLL("libcuda.so.1")
    def ok(status, what):
        assert status == 0, f"{what}: CUDA error {status}"
    version, count, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(100)
    ok(cuda.cuInit(0), "cuInit")
    ok(cuda.cuDriverGetVersion(ctypes.byref(version)), "cuDriverGetVersion")
    ok(cuda.cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
    print("CUDA", version.value, "GPUs", count.value)
    assert count.value > 0
    for i in range(count.value):
        context, at, back = ctypes.c_void_p(), ctypes.c_uint64(), ctypes.create_string_buffer(7)
        ok(cuda.cuDeviceGetName(name, 100, i), "cuDeviceGetName")
        ok(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), i), "cuDevicePrimaryCtxRetain")
        ok(cuda.cuCtxSetCurrent(context), "cuCtxSetCurrent")
        ok(cuda.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(1 << 20)), "cuMemAlloc")
        ok(cuda.cuMemcpyHtoD_v2(at, b"hostrun", ctypes.c_size_t(7)), "cuMemcpyHtoD")
        ok(cuda.cuMemcpyDtoH_v2(back, at, ctypes.c_size_t(7)), "cuMemcpyDtoH")
        assert back.raw == b"hostrun", back.raw
        print("GPU", i, name.value.decode(), "remembers")
PROFILE
hostrun --profile-dir "$run/profiles" run libcuda 2>&1 | tee "$out/libcuda.txt" || failure "libcuda in a container: $out/libcuda.txt"
# What a plan is made from, as a fixture: it replays on any machine.
hostrun --profile-dir "$run/profiles" facts gpu >"$out/facts-gpu.json" || failure "hostrun facts gpu"
hostrun spec --facts "$out/facts-gpu.json" >"$out/spec-gpu.json" || failure "the recorded facts do not replay"
hostrun --profile-dir "$run/profiles" check gpu || failure "hostrun check gpu"
[ -z "$python" ] || hostrun --profile-dir "$run/profiles" run gpu 2>&1 | tee "$out/torch.txt" || failure "torch in a container: $out/torch.txt"
figure "run of nothing with gpus: all (ms, median of 9)" "$(median "$top/bin/hostrun" --profile-dir "$run/profiles" run gpu -- true)"
figure "run of nvidia-smi -L (ms, median of 9)" "$(median "$top/bin/hostrun" --profile-dir "$run/profiles" run gpu -- nvidia-smi -L)"

step "The same without a GPU, and stats while it runs"
figure "run of nothing without a GPU (ms, median of 9)" "$(median "$top/bin/hostrun" --profile-dir "$run/profiles" run none -- true)"
trap 'hostrun down -y gpu >/dev/null 2>&1 || true' EXIT
if hostrun --profile-dir "$run/profiles" up gpu -- sleep 60; then
	hostrun stats --no-stream gpu | tee "$out/stats.txt" || failure "hostrun stats"
	hostrun --profile-dir "$run/profiles" down -y gpu
else
	failure "hostrun up gpu"
fi

if [ ${#failed[@]} -gt 0 ]; then
	step "Not all of it worked. Results are in $out:"
else
	step "It worked. Results are in $out:"
fi
cat "$out/figures.txt"
[ ${#failed[@]} -eq 0 ]
