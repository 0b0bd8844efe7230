// argohealth reads one object as JSON on standard input and prints what Argo CD makes of it with the given health.lua, by
// Argo CD's own Lua sandbox: {"status": "Healthy|Progressing|Degraded|...", "message": "..."}.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/argoproj/argo-cd/v3/util/lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "k8s.io/apimachinery/pkg/util/json"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "argohealth:", err)
		os.Exit(1)
	}
}

func run(arguments []string, in io.Reader, out io.Writer) error {
	if len(arguments) != 1 {
		return errors.New("usage: argohealth health.lua <object.json")
	}
	script, err := os.ReadFile(arguments[0])
	if err != nil {
		return err
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	object := &unstructured.Unstructured{}
	if err := kjson.Unmarshal(text, &object.Object); err != nil {
		return err
	}
	machine := lua.VM{UseOpenLibs: false}
	health, err := machine.ExecuteHealthLua(object, string(script))
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(health)
}
