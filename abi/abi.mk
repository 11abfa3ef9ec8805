abidir = $(includedir)/heed/abi
abi_HEADERS = abi/abi.h abi/axes.h abi/base.h abi/call.h abi/cost.h abi/field.h abi/grad.h \
  abi/host.h abi/kv.h abi/mask.h abi/network.h abi/op.h abi/oracle.h abi/partial.h abi/relay.h \
  abi/score.h abi/state.h abi/tensor.h abi/transport.h
