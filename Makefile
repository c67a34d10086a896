.DEFAULT_GOAL := help
help:  ## list the chores
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
protos:  ## generate the stubs in gen/ from protos/
	.venv/bin/python -m grpc_tools.protoc -Iprotos -I$$(.venv/bin/python -c 'import google.rpc,os;print(os.path.dirname(os.path.dirname(os.path.dirname(google.rpc.__file__ or list(google.rpc.__path__)[0]+"/x"))))') \
	  --python_out=gen --pyi_out=gen --grpc_python_out=gen $$(cd protos && find . -name '*.proto' | sed 's,^\./,protos/,' | sort)
.PHONY: help protos
