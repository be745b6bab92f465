package imports

import "slices"

// leavers are what ends the process, and what follows of them is its status.
var leavers = [][]string{{"sys", ".", "exit", "("}, {"os", ".", "_exit", "("}, {"exit", "("}, {"quit", "("}, {"raise", "SystemExit", "("}, {"raise", "SystemExit"}}

// leave reads sys.exit(...), exit(...), quit(...), os._exit(...) and raise SystemExit.
func (p *parser) leave(toks []token) bool {
	for _, words := range leavers {
		if !begins(toks, words) {
			continue
		}
		s := statement{action: doExit, line: toks[0].line}
		if fails(toks[len(words):]) {
			s.name = "SystemExit"
		}
		p.add(s)
		return true
	}
	return false
}

func begins(toks []token, words []string) bool {
	for i, word := range words {
		if i >= len(toks) || toks[i].text != word || toks[i].kind == tokString {
			return false
		}
	}
	return true
}

// fails says that the argument of sys.exit is known to be a failure: a number other than 0, or a text, which is printed.
func fails(toks []token) bool {
	if len(toks) > 1 && toks[0].text == "-" {
		toks = toks[1:]
	}
	if len(toks) == 0 {
		return false
	}
	if toks[0].kind == tokNumber && len(toks) > 1 && toks[1].text == ")" {
		n, ok := number(toks[0].text).(int)
		return ok && n&0xff != 0
	}
	return toks[0].kind == tokString
}

// arguments notes a call of argparse's that reads sys.argv.
func (p *parser) arguments(toks []token) {
	for i := 1; i+1 < len(toks); i++ {
		if t := toks[i]; (t.text == "parse_args" || t.text == "parse_known_args") && t.kind == tokName && toks[i-1].text == "." && toks[i+1].text == "(" {
			p.add(statement{action: doArguments, line: t.line})
			return
		}
	}
}

// helping are the arguments at which a program usually prints something and ends well.
var helping = []string{"-h", "--help", "--version", "-V"}

// exit ends the process. Where that is no failure and perhaps happens, what stands behind it perhaps does not run: what fails in
// it is not claimed. Of functions it is not known when they are called.
func (p *process) exit(st *statement, f frame) *failure {
	if f.maybe && f.level == perhaps && !f.called {
		p.skip("raise", f.spec.name, p.at(st, f), "ends the program if a condition holds that files do not tell", f.level)
	}
	if st.name != "" {
		return &failure{class: st.name}
	}
	if !f.called && (f.main || f.level == required) {
		p.ended = true
	}
	return nil
}

// asksForHelp says that the program's arguments ask for no more than its usage or version.
func (p *process) asksForHelp() bool {
	return slices.ContainsFunc(p.args, func(a string) bool { return slices.Contains(helping, a) })
}
