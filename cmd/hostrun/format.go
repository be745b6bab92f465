package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sort"
	"strings"
	"text/tabwriter"
	"text/template"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
)

// A table says how a row of T looks to a person.
type table[T any] struct {
	header []string
	cells  func(T) []string
}

// with has one more column at its end.
func (t table[T]) with(title string, cell func(T) string) table[T] {
	return table[T]{header: append(slices.Clone(t.header), title), cells: func(row T) []string { return append(t.cells(row), cell(row)) }}
}

func formatFlag(destination *string) cli.Flag {
	return &cli.StringFlag{Name: "format", Usage: "print as `table|json|TEMPLATE`; a template is Go's, over the names of the JSON", Value: "table", Destination: destination}
}

// show prints rows as the format says: a table, JSON objects one a line, or a Go template for each.
func show[T any](w io.Writer, format string, rows []T, t table[T]) error {
	switch {
	case format == "table":
		return writeTable(w, rows, t)
	case format == "json":
		return writeJSONLines(w, rows)
	case strings.Contains(format, "{{"):
		return writeTemplate(w, format, rows)
	}
	return finding.Errorf(finding.StatusUsage, "a template holds {{, as in --format '{{.profile}}'",
		"flag --format: %q is none of table, json, or a template", format)
}

func writeTable[T any](w io.Writer, rows []T, t table[T]) error {
	out := bufio.NewWriter(w) // tabwriter writes each cell by itself
	tw := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(tw, strings.Join(t.header, "\t"))
	for _, row := range rows {
		fmt.Fprintln(tw, strings.Join(t.cells(row), "\t"))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return out.Flush()
}

func writeJSONLines[T any](w io.Writer, rows []T) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	for _, row := range rows {
		if err := out.Encode(row); err != nil {
			return fmt.Errorf("print as JSON: %w", err)
		}
	}
	return nil
}

// writeIndented prints one JSON document for people and files.
func writeIndented(w io.Writer, value any) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(value)
}

// writeTemplate executes a template over each row as its JSON says it, so that the names are those of the contract.
func writeTemplate[T any](w io.Writer, format string, rows []T) error {
	t, err := template.New("--format").Option("missingkey=error").Funcs(templateFunctions).Parse(format)
	if err != nil {
		return finding.Errorf(finding.StatusUsage, "the syntax is that of Go's text/template", "flag --format: %w", err)
	}
	for _, row := range rows {
		fields, err := asJSON(row)
		if err != nil {
			return err
		}
		if have, ok := fields.(map[string]any); ok {
			fillIn(have, reflect.TypeOf(row))
		}
		var line bytes.Buffer
		if err := t.Execute(&line, fields); err != nil {
			return finding.Errorf(finding.StatusUsage, "the fields are "+strings.Join(fieldNames(fields), ", "), "flag --format: %w", err)
		}
		fmt.Fprintln(w, line.String())
	}
	return nil
}

var templateFunctions = template.FuncMap{
	"json": func(value any) (string, error) { text, err := json.Marshal(value); return string(text), err },
	"join": func(values []any, by string) string {
		words := make([]string, len(values))
		for i, value := range values {
			words[i] = fmt.Sprint(value)
		}
		return strings.Join(words, by)
	},
}

// asJSON returns a value as encoding/json would read it back, with numbers as they are written.
func asJSON(value any) (any, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("print as JSON: %w", err)
	}
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	var fields any
	return fields, in.Decode(&fields)
}

// fillIn adds what the JSON of a value leaves out where it is empty, so that a template may name it for each row.
func fillIn(fields map[string]any, t reflect.Type) {
	if t.Kind() != reflect.Struct {
		return
	}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			fillIn(fields, f.Type)
			continue
		}
		if _, there := fields[name]; there || name == "" || name == "-" {
			continue
		}
		switch f.Type.Kind() {
		case reflect.Slice:
			fields[name] = []any{}
		case reflect.Map, reflect.Struct:
			fields[name] = map[string]any{}
		case reflect.Bool:
			fields[name] = false
		case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64:
			fields[name] = json.Number("0")
		default:
			fields[name] = ""
		}
	}
}

func fieldNames(value any) []string {
	fields, _ := value.(map[string]any)
	var names []string
	for name := range fields {
		names = append(names, "."+name)
	}
	sort.Strings(names)
	return names
}

// dash stands for what is not there.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
