package pattern

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestEveryPatternCompiles looks at the source: an invalid expression would panic where it is first used, which may be
// on a customer's machine.
func TestEveryPatternCompiles(t *testing.T) {
	found := 0
	err := filepath.WalkDir("..", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), p, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if pkg, isName := selected(sel, ok); !isName || pkg != "pattern" {
				return true
			}
			text, literal := joined(call.Args[0])
			if !literal {
				return true // made of constants: their package's tests use it
			}
			found++
			if _, err := regexp.Compile(text); err != nil {
				t.Errorf("%s: %v", p, err)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 20 {
		t.Errorf("only %d patterns found: this test looks in the wrong place", found)
	}
}

func selected(sel *ast.SelectorExpr, ok bool) (string, bool) {
	if !ok || sel.Sel.Name != "New" {
		return "", false
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return "", false
	}
	return id.Name, true
}

// joined is the value of a string literal, or of literals that are added up.
func joined(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.BinaryExpr:
		a, ok1 := joined(e.X)
		b, ok2 := joined(e.Y)
		return a + b, ok1 && ok2
	}
	return "", false
}

func TestPattern(t *testing.T) {
	p := New(`(\w)(\d)`)
	if !p.MatchString("a1") || p.MatchString("ab") || p.String() != `(\w)(\d)` {
		t.Error("match")
	}
	if got := p.FindStringSubmatch("-b2"); len(got) != 3 || got[2] != "2" {
		t.Errorf("submatch %q", got)
	}
	if got := p.ReplaceAllString("a1 b2", "$2$1"); got != "1a 2b" {
		t.Errorf("replaced %q", got)
	}
	if got := p.ReplaceAllStringFunc("a1 x", strings.ToUpper); got != "A1 x" {
		t.Errorf("replaced by function %q", got)
	}
	if got := p.FindAllStringSubmatch("a1 b2", -1); len(got) != 2 {
		t.Errorf("all %q", got)
	}
}
