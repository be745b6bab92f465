package main

import (
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// narrowest is the least width that lines are folded to: below it the terminal may do as it likes.
const narrowest = 40

// widthOf is the number of columns that lines written to w are folded to; 0 where w is no terminal: programs that read
// lines want them whole. COLUMNS counts as in other programs (POSIX, "Environment Variables").
func (s *session) widthOf(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok || !isTerminal(w) {
		return 0
	}
	columns, err := strconv.Atoi(s.env["COLUMNS"])
	if err != nil || columns <= 0 {
		if columns, _, err = term.GetSize(int(file.Fd())); err != nil {
			return 0
		}
	}
	if columns < narrowest {
		return 0
	}
	return columns
}

// fold breaks text at spaces into lines of at most width columns, of which those behind the first begin with indent
// spaces. column is where the first begins. Words that are too long stay whole, so that paths can be copied.
func fold(text string, width, column, indent int) string {
	if width == 0 {
		return indented(text, strings.Repeat(" ", indent))
	}
	var b strings.Builder
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if i > 0 {
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		}
		for j, word := range strings.Split(line, " ") {
			n := utf8.RuneCountInString(word)
			switch {
			case j == 0:
			case column+1+n > width && column > indent:
				b.WriteString("\n" + strings.Repeat(" ", indent))
				column = indent
			default:
				b.WriteByte(' ')
				column++
			}
			b.WriteString(word)
			column += n
		}
	}
	return b.String()
}

// labelled prints a line of a report: what it is about, and behind that the text.
func (s *session) labelled(label, text string) {
	const behind = 12
	line := "  " + label + strings.Repeat(" ", max(behind-2-len(label), 1))
	_, _ = io.WriteString(s.stdout, line+fold(text, s.widthOf(s.stdout), len(line), behind)+"\n") // stdout's errors show with the next write
}
