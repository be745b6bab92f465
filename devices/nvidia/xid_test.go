package nvidia

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/devices"
)

// kernelLog has lines of bug reports, in all layouts that the driver has had, as /dev/kmsg has them.
const kernelLog = `6,1,1000000,-;Linux version 6.8.0
4,2,2000000,-;NVRM: Xid (0000:03:00): 13, 0003 00000000 0000a297 00001b0c 1000f010 00000040
3,3,4000000,-;NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.
3,4,4100000,-;NVRM: GPU at 0000:01:00.0 has fallen off the bus.
4,5,9000000,-;NVRM: Xid (PCI:0000:cb:00): 13, pid='<unknown>', name=<unknown>, Graphics SM Warp Exception on (GPC 7, TPC 7, SM 0): Illegal Instruction Parameter
4,6,9000010,-;NVRM: Xid (PCI:0000:cb:00): 13, pid='<unknown>', name=<unknown>, Graphics SM Global Exception on (GPC 7, TPC 7, SM 0): Multiple Warp Errors
 SUBSYSTEM=pci
 DEVICE=+pci:0000:cb:00.0
4,7,14000000,-;NVRM: Xid (PCI:0000:cb:00): 109, pid=1797828, name=pt_main_thread, Ch 00000008, errorString CTX SWITCH TIMEOUT, Info 0x58005
3,8,20000000,-;NVRM: Xid (PCI:0002:00:00): 79, pid=1582259, name=nvc:[driver], GPU has fallen off the bus.
4,9,21000000,-;NVRM: Xid (PCI:0000:4e:00 GPU-I:05): 94, pid=7194, name=python3, Contained: CE User Channel (0x9). RST: No, D-RST: No
4,10,22000000,c;NVRM: Xid (PCI:0000:d1:00): 63, Row Remapper: New row (0x0) marked for remapping, reset gpu to activate.
4,11,23000000,-,caller=T12;NVRM: Xid (PCI:0000:DC:00): 45, pid=1818990, name=python3, Ch 00000001 caused by previous Xid 149
3,12,30000000,-;NVRM: The NVIDIA GPU 0000:b3:00.0\x0aNVRM: (PCI ID: 10de:26b5) installed in this system has\x0aNVRM: fallen off the bus and is not responding to commands.
3,13,31000000,-;NVRM: The NVIDIA probe routine failed for 1 device(s).
3,14,32000000,-;NVRM: GPU 0000:9a:00.0: GPU has fallen off the bus
4,15,33000000,-;NVRM: NVRM: Xid (PCI:0001:00:00.0): 79, GPU has fallen off the bus
4,16,34000000,-;NVRM: Xid (PCI:00000000:65:00): 154, GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)
4,17,35000000,-;NVRM: Xid (PCI:zzzz:65:00): 154, no address
not a record
`

func TestFaults(t *testing.T) {
	boot := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	var got []string
	for _, f := range Faults(devices.ParseKernelLog(kernelLog), boot) {
		got = append(got, fmt.Sprintf("%v %s %s|%s|%d|%s|%s|%t", f.Time.Sub(boot), f.PCI, f.Part, f.Code, f.PID, f.Program, f.Text, f.Job))
	}
	want := []string{
		"2s 0000:03:00.0 |Xid 13|0||0003 00000000 0000a297 00001b0c 1000f010 00000040|true",
		"4s 0000:01:00.0 |Xid 79|0||GPU has fallen off the bus.|false",
		"9s 0000:cb:00.0 |Xid 13|0||Graphics SM Warp Exception on (GPC 7, TPC 7, SM 0): Illegal Instruction Parameter|true",
		"14s 0000:cb:00.0 |Xid 109|1797828|pt_main_thread|Ch 00000008, errorString CTX SWITCH TIMEOUT, Info 0x58005|true",
		"20s 0002:00:00.0 |Xid 79|1582259|nvc:[driver]|GPU has fallen off the bus.|false",
		"21s 0000:4e:00.0 GPU-I:05|Xid 94|7194|python3|Contained: CE User Channel (0x9). RST: No, D-RST: No|false",
		"22s 0000:d1:00.0 |Xid 63|0||Row Remapper: New row (0x0) marked for remapping, reset gpu to activate.|false",
		"23s 0000:dc:00.0 |Xid 45|1818990|python3|Ch 00000001 caused by previous Xid 149|true",
		"30s 0000:b3:00.0 ||0||GPU has fallen off the bus and is not responding to commands.|false",
		"32s 0000:9a:00.0 ||0||GPU has fallen off the bus|false",
		"33s 0001:00:00.0 |Xid 79|0||GPU has fallen off the bus|false",
		"34s 0000:65:00.0 |Xid 154|0||GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)|false",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

func FuzzFaults(f *testing.F) {
	f.Add(kernelLog)
	f.Add("4,1,1,-;NVRM: Xid (PCI:0000:01:00): 99999, pid=-1, name=, \\x0")
	f.Fuzz(func(t *testing.T, text string) {
		for _, one := range Faults(devices.ParseKernelLog(text), time.Time{}) {
			if len(one.PCI) < len("0000:00:00.0") || one.PID < 0 || one.Kind != Kind {
				t.Errorf("%+v", one)
			}
		}
	})
}
