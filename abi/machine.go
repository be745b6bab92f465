package abi

import (
	"fmt"
	"strings"
)

// machineName gives uname's name of an ELF machine (e_machine of elf(5), and the kernel's UTS_MACHINE).
func machineName(o *object) string {
	switch o.machine {
	case 3:
		return "i686"
	case 62:
		return "x86_64"
	case 183:
		return endian(o, "aarch64", "aarch64_be")
	case 40:
		return endian(o, "armv7l", "armv7b")
	case 21:
		return endian(o, "ppc64le", "ppc64")
	case 20:
		return "ppc"
	case 22:
		if o.wide {
			return "s390x"
		}
		return "s390"
	case 243:
		if o.wide {
			return "riscv64"
		}
		return "riscv32"
	case 258:
		if o.wide {
			return "loongarch64"
		}
		return "loongarch32"
	case 8:
		if o.wide {
			return "mips64"
		}
		return "mips"
	}
	return fmt.Sprintf("elf-machine-%d", o.machine)
}

func endian(o *object, little, big string) string {
	if o.little {
		return little
	}
	return big
}

// multiarchMachine gives uname's name for the first word of a multiarch triplet.
func multiarchMachine(triplet string) string {
	first, _, _ := strings.Cut(triplet, "-")
	switch first {
	case "i386":
		return "i686"
	case "arm":
		return "armv7l"
	case "powerpc64le":
		return "ppc64le"
	case "powerpc64":
		return "ppc64"
	case "powerpc":
		return "ppc"
	case "mips64el":
		return "mips64"
	case "mipsel":
		return "mips"
	}
	return first
}

// libcOf names the C library by the program interpreter: the only exact sign. The SOABI is none: CPython before 3.11
// says -linux-gnu on musl too.
func libcOf(interp string) string {
	switch {
	case strings.Contains(interp, "/ld-musl-"):
		return "musl"
	case strings.Contains(interp, "/ld-linux"), strings.Contains(interp, "/ld64.so."), strings.HasSuffix(interp, "/ld.so.1"):
		return "glibc"
	}
	return ""
}
