package api_test

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/sledagent/sledagent/internal/contract"
)

// Every answer must fit the real document.
func TestAnswersFitTheContract(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromFile(contract.Path(t, "sled-agent-vmm.json"))
	if err != nil {
		t.Fatal(err)
	}
	const version = 48 // that of the document
	sled := fakeSled()
	sled.Disposition.Config.APIVersion = version
	run, served := newConformance(t, sled), operations(t, version)
	for path, item := range doc.Paths.Map() {
		for method, real := range item.Operations() {
			ours, ok := served[real.OperationID]
			if !ok {
				t.Errorf("%s %s is not served", method, path)
				continue
			}
			op := *ours.Operation
			op.Responses = real.Responses
			run.operation(version, operation{&op, method, path}, 2)
		}
	}
	t.Logf("%d cases, %d failures; answers by status: %v", run.cases, run.failures, run.answers)
}
