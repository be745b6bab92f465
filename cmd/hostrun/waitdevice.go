package main

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"
)

// waitFlag takes --wait-device and --wait-device=30s.
type waitFlag struct{ wait time.Duration }

// forever is --wait-device without a time.
const forever = time.Duration(-1)

// IsBoolFlag lets package flag take it without a value.
func (w *waitFlag) IsBoolFlag() bool { return true }

// String is the default: not to wait.
func (w *waitFlag) String() string { return "" }

// Set reads a time; true is what package flag sets without a value.
func (w *waitFlag) Set(text string) error {
	switch text {
	case "", "true":
		w.wait = forever
		return nil
	case "false":
		w.wait = 0
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("write a time: 30s, 10m")
	}
	w.wait = d
	return nil
}

// A bareFlag may stand without a value.
type bareFlag struct{ *cli.GenericFlag }

// TakesValue is false: the value is attached with =.
func (bareFlag) TakesValue() bool { return false }

func waitDeviceFlag(w *waitFlag) cli.Flag {
	return bareFlag{&cli.GenericFlag{Name: "wait-device", Usage: "wait in a queue for devices that others have: --wait-device, or --wait-device=30s", Value: w}}
}
