package plan

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/finding"
)

// nativeArch gives an image platform's architecture by libseccomp's name.
var nativeArch = map[string]specs.Arch{
	"386": specs.ArchX86, "amd64": specs.ArchX86_64, "arm": specs.ArchARM, "arm64": specs.ArchAARCH64,
	"loong64": specs.ArchLOONGARCH64, "mips64le": specs.ArchMIPSEL64, "ppc64le": specs.ArchPPC64LE,
	"riscv64": specs.ArchRISCV64, "s390x": specs.ArchS390X,
}

// filterArch gives it by the name that docker's profiles use in their conditions, where that differs.
var filterArch = map[string]string{"386": "x86", "loong64": "loongarch64", "mips64le": "mipsel64"}

// numaCalls are allowed to everyone: docker asks for CAP_SYS_NICE, and NCCL and vLLM then lose their NUMA placement. They
// act on the caller's own memory.
var numaCalls = []string{"get_mempolicy", "mbind", "set_mempolicy"}

// setSeccomp evaluates the default profile or the profile's own file against this kernel, architecture and capabilities.
func (b *builder) setSeccomp(caps []string) {
	switch b.p.Seccomp {
	case "unconfined":
		b.plan.Origins["/linux/seccomp"] = b.fromProfile("security_opt")
	case "":
		b.plan.Origins["/linux/seccomp"] = "hostrun"
		b.setDefaultSeccomp(caps, false)
	case "multiarch":
		b.plan.Origins["/linux/seccomp"] = b.fromProfile("security_opt")
		b.setDefaultSeccomp(caps, true)
	default:
		b.plan.Origins["/linux/seccomp"] = b.fromProfile("security_opt")
		b.setOwnSeccomp(caps)
	}
}

// setDefaultSeccomp filters for the native architecture alone, unless all are asked for: each further one costs runc 5 to
// 10 ms at every start. A program of another architecture (32 bits, say) is killed then, as libseccomp does with calls
// whose architecture the filter does not know (seccomp_attr_set(3), SCMP_FLTATR_ACT_BADARCH).
func (b *builder) setDefaultSeccomp(caps []string, all bool) {
	if b.f.Engine.Seccomp == nil {
		b.report("", finding.Finding{
			ID: finding.LimitUnsupported, Severity: finding.Warning, Subject: "seccomp",
			Message: "the container runs without a filter of system calls: this engine has none",
			Remedy:  "use a kernel with CONFIG_SECCOMP_FILTER and an OCI runtime built with seccomp",
		})
		return
	}
	out := b.evaluate(b.f.Engine.Seccomp, caps)
	if arch, ok := nativeArch[b.f.Host.Arch]; ok && !all {
		out.Architectures = []specs.Arch{arch}
	}
	if out.DefaultAction != specs.ActAllow {
		out.Syscalls = append(out.Syscalls, specs.LinuxSyscall{Names: slices.Clone(numaCalls), Action: specs.ActAllow})
	}
	b.spec.Linux.Seccomp = out
}

func (b *builder) setOwnSeccomp(caps []string) {
	var own seccomp.Seccomp
	err := json.Unmarshal(b.p.SeccompProfile, &own)
	if err == nil && own.DefaultAction == "" {
		err = fmt.Errorf("it has no defaultAction")
	}
	if err != nil {
		b.report("security_opt", finding.Finding{
			ID: finding.ProfileInvalid, Severity: finding.Error, Subject: b.p.Seccomp, Got: err.Error(),
			Want:    "docker's JSON form of a seccomp profile",
			Message: fmt.Sprintf("the seccomp profile %s can't be read: %v", b.p.Seccomp, err),
			Remedy:  "correct the file, or remove seccomp from security_opt",
		})
		return
	}
	b.spec.Linux.Seccomp = b.evaluate(&own, caps)
}

// evaluate resolves the conditions of a profile in docker's form.
func (b *builder) evaluate(in *seccomp.Seccomp, caps []string) *specs.LinuxSeccomp {
	out := in.LinuxSeccomp
	out.Architectures = slices.Clone(out.Architectures)
	out.Syscalls = nil
	for _, a := range in.ArchMap {
		if a.Arch == nativeArch[b.f.Host.Arch] {
			out.Architectures = append(append(out.Architectures, a.Arch), a.SubArches...)
		}
	}
	for _, call := range in.Syscalls {
		if call == nil || b.excluded(call.Excludes, caps) || !b.included(call.Includes, caps) {
			continue
		}
		rule := call.LinuxSyscall
		//lint:ignore SA1019 profiles written for docker before 1.12 have it, and docker still reads them
		if old := call.Name; old != "" && len(rule.Names) == 0 {
			rule.Names = []string{old}
		}
		out.Syscalls = append(out.Syscalls, rule)
	}
	return &out
}

func (b *builder) filterArch() string {
	if name, ok := filterArch[b.f.Host.Arch]; ok {
		return name
	}
	return b.f.Host.Arch
}

// excluded: one condition that holds is enough to leave the rule out.
func (b *builder) excluded(f *seccomp.Filter, caps []string) bool {
	if f == nil {
		return false
	}
	return slices.Contains(f.Arches, b.filterArch()) ||
		slices.ContainsFunc(f.Caps, func(c string) bool { return slices.Contains(caps, c) }) ||
		f.MinKernel != nil && kernelAtLeast(b.f.Host.Kernel, int(f.MinKernel.Kernel), int(f.MinKernel.Major))
}

// included: every condition must hold.
func (b *builder) included(f *seccomp.Filter, caps []string) bool {
	if f == nil {
		return true
	}
	return (len(f.Arches) == 0 || slices.Contains(f.Arches, b.filterArch())) &&
		!slices.ContainsFunc(f.Caps, func(c string) bool { return !slices.Contains(caps, c) }) &&
		(f.MinKernel == nil || kernelAtLeast(b.f.Host.Kernel, int(f.MinKernel.Kernel), int(f.MinKernel.Major)))
}
