package finding

import (
	"sort"
	"strings"
)

// Nearest returns at most n of names that a person may have meant by word, the likeliest first.
func Nearest(word string, names []string, n int) []string {
	type candidate struct {
		name     string
		distance int
	}
	var all []candidate
	seen := map[string]bool{}
	w := Fold(word)
	if len(w) > 64 { // no name is that long, and the distance costs the product of both lengths
		return nil
	}
	for _, name := range names {
		d := Distance(w, Fold(name))
		if seen[name] || d > max(1, (min(len(w), len(name))+1)/3) && !(len(w) > 2 && strings.HasPrefix(Fold(name), w)) {
			continue
		}
		seen[name] = true
		all = append(all, candidate{name, d})
	}
	sort.SliceStable(all, func(i, j int) bool {
		if all[i].distance != all[j].distance {
			return all[i].distance < all[j].distance
		}
		return all[i].name < all[j].name
	})
	var best []string
	for i := 0; i < len(all) && i < n; i++ {
		best = append(best, all[i].name)
	}
	return best
}

// Fold takes out what people mix up: case, and - for _.
func Fold(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }

// Distance is the optimal string alignment distance: Levenshtein's, with a swap of neighbours counted as one. It counts bytes.
func Distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
