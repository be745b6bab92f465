package imports
import ("testing";"context";"fmt";"os";"time";"sort";"hostrun.dev/hostrun/rootfs";"strings")
func TestZZ(t *testing.T) {
	python := os.Getenv("PY"); 
	py := detect(t, python)
	for _, code := range strings.Split(os.Getenv("CODE"),";;") {
	b := time.Now()
	rep, err := Scan(context.Background(), rootfs.Dir("/"), Request{Python: py, Command: []string{python,"-c",code}, Env: map[string]string{"PATH":"/usr/bin"}})
	took := time.Since(b)
	fmt.Println("==", code, took, err, rep.Counts)
	real := trace(t, python, code)
	fmt.Println("real error", real.Error)
	if f := rep.First(); f != nil { fmt.Println("FIRST", f.Message, f.At) }
	for i, m := range rep.Missing { if m.Reach==Required || m.Raised {fmt.Println("  req missing", m.Message, m.At, m.Raised)}; if i>40 {break} }
	have := map[string]Module{}
	for _, m := range rep.Modules { have[m.Name]=m
		if m.Reach == Required { f, ok := real.Modules[m.Name]; if !ok && real.Error==nil { fmt.Println("  OVER", m.Name, m.File, m.By) } else if ok && m.File!="" && m.Kind!=Namespace&&f != m.File && m.Name!="__main__" { fmt.Println("  FILE", m.Name, m.File, f)} }
	}
	var under []string
	for n, f := range real.Modules { if _, ok := have[n]; !ok || have[n].Reach==Deferred { x:=""; if ok {x="deferred"}; under = append(under, fmt.Sprint("  UNDER ", n, " ", f, real.Asked[n], x)) } }
	sort.Strings(under)
	fmt.Println("  under", len(under), "of", len(real.Modules), "before", len(real.Before))
	for i, u := range under { if i< 60 { fmt.Println(u)} }
	if strings.Join(real.Path,":") != strings.Join(rep.Path,":") { fmt.Println("PATH", real.Path, rep.Path) }
	}
}
