package imports

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestZZ(t *testing.T) {
	py := detect(t, os.Getenv("PY"))
	for _, code := range strings.Split(os.Getenv("CODE"), ";;") {
		real := trace(t, py.Executable, code)
		rep := scan(t, py, code)
		fmt.Println("==", code, real.Error, rep.Counts)
		for _, w := range disagreements(rep, real) {
			fmt.Println("   ", w)
		}
		for i, m := range rep.Missing {
			if i < 8 {
				fmt.Println("  missing", m.Reach, m.Message, m.At, m.Raised)
			}
		}
		for i, m := range rep.Modules {
			if s := os.Getenv("SHOW"); s != "" && strings.Contains(m.Name, s) {
				fmt.Println(i, m)
			}
		}
	}
}
