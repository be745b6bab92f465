package main

// laterVerbs are part of the contract of the command line and not of this version. They are answered with "not yet"
// rather than with the nearest other verb, and help does not promise them.
var laterVerbs = []string{
	"bench",
}
