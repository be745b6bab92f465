package main

import (
	"fmt"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi/frameworks"
	"hostrun.dev/hostrun/plan"
)

// frameworkLines say what the frameworks that the command's Python would import are built for, one line each.
func frameworkLines(f plan.Facts, have *frameworks.Facts) []string {
	if have == nil {
		return nil
	}
	var lines []string
	side := func(onHost bool) string {
		if onHost {
			return "(host)"
		}
		return "(image)"
	}
	lent := &frameworks.Facts{}
	if f.Host.Python != nil && f.Host.Python.Frameworks != nil {
		lent = f.Host.Python.Frameworks
	}
	if t := have.Torch; t != nil {
		words := append([]string{"torch " + t.Version + " " + side(t == lent.Torch)}, torchWords(t)...)
		lines = append(lines, joined(words, needWords(t.Needs)))
	}
	if n := have.TorchNPU; n != nil {
		words := []string{"torch_npu " + n.Version + " " + side(n == lent.TorchNPU), "for torch " + n.TorchBase}
		lines = append(lines, joined(words, cannWords(n.Needs)))
	}
	for _, o := range have.Others {
		words := []string{o.Name + " " + o.Version + " " + side(slices.ContainsFunc(lent.Others, func(l frameworks.Other) bool { return l.Dir == o.Dir && l.Name == o.Name }))}
		if words = append(words, otherWords(o)...); len(words) > 1 || len(o.Needs) > 0 {
			lines = append(lines, joined(words, needWords(o.Needs)))
		}
	}
	return lines
}

func joined(words []string, needs string) string {
	if needs != "" {
		words = append(words, needs)
	}
	return strings.Join(words, ", ")
}

func torchWords(t *frameworks.Torch) []string {
	var words []string
	switch t.Accelerator() {
	case "cuda":
		words = append(words, "CUDA "+t.CUDA)
	case "rocm":
		words = append(words, "ROCm "+first(t.ROCm, t.HIP))
	case "xpu":
		words = append(words, "oneAPI "+t.XPU)
	default:
		words = append(words, "for processors alone")
	}
	if t.Debug {
		words = append(words, "a debug build")
	}
	if t.CXX11ABI != "" {
		words = append(words, "CXX11 ABI "+t.CXX11ABI)
	}
	return append(words, archWords(t.SASS, t.PTX)...)
}

// archWords shorten a list to its ends: sm_50...sm_90, +PTX where the newest has it, and by name where another has.
func archWords(sass, ptx []string) []string {
	text := ""
	switch len(sass) {
	case 0:
	case 1:
		text = sass[0]
	default:
		text = fmt.Sprintf("%s...%s (%d)", sass[0], sass[len(sass)-1], len(sass))
	}
	if len(ptx) > 0 {
		text = strings.TrimPrefix(text+" + PTX "+strings.Join(ptx, " "), " + ")
	}
	if text == "" {
		return nil
	}
	return []string{text}
}

func otherWords(o frameworks.Other) []string {
	var words []string
	if o.CUDA != "" {
		words = append(words, "CUDA "+o.CUDA)
	}
	if o.CUDNN != "" {
		words = append(words, "cuDNN "+o.CUDNN)
	}
	if len(o.Backends) > 0 {
		words = append(words, "with "+strings.Join(o.Backends, ", "))
	}
	words = append(words, archWords(o.SASS, o.PTX)...)
	if o.Torch != "" {
		words = append(words, "for torch "+o.Torch)
	}
	return words
}

// named first of what a framework needs; the others are counted.
var toldNeeds = []string{"cudart", "cudnn", "nccl"}

// needWords say what is asked for, and where that was found: "needs cudart 12, cudnn 9 and 8 more: found in the wheels".
func needWords(needs []frameworks.Need) string {
	if len(needs) == 0 {
		return ""
	}
	var told, missing []string
	for _, name := range toldNeeds {
		if i := slices.IndexFunc(needs, func(n frameworks.Need) bool { return n.Name == name }); i >= 0 {
			told = append(told, strings.TrimSpace(name+" "+needs[i].Major))
		}
	}
	if len(told) == 0 {
		told = []string{strings.TrimSpace(needs[0].Name + " " + needs[0].Major)}
	}
	text := "needs " + strings.Join(told, ", ")
	if rest := len(needs) - len(told); rest > 0 {
		text += fmt.Sprintf(" and %d more", rest)
	}
	from := map[string]bool{}
	for _, n := range needs {
		if n.Found == "" {
			missing = append(missing, n.Soname)
		} else {
			from[n.From] = true
		}
	}
	switch {
	case len(missing) == len(needs):
		return text + ": none of them found"
	case len(missing) > 0:
		more := ""
		if len(missing) > 3 {
			missing, more = missing[:3], fmt.Sprintf(" and %d more", len(missing)-3)
		}
		return text + ": not found " + strings.Join(missing, ", ") + more
	}
	return text + ": found " + placesOf(from)
}

func placesOf(from map[string]bool) string {
	var words []string
	for _, p := range [][2]string{{"wheel", "in the wheels"}, {"toolkit", "in the toolkit"}, {"system", "among the system's"}} {
		if from[p[0]] {
			words = append(words, p[1])
		}
	}
	return strings.Join(words, " and ")
}

// cannWords count what torch_npu asks of CANN, which comes with its own environment.
func cannWords(needs []frameworks.Need) string {
	var names []string
	for _, n := range needs {
		names = append(names, n.Soname)
	}
	if len(names) == 0 {
		return ""
	}
	return "needs of CANN " + strings.Join(names, ", ")
}

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
