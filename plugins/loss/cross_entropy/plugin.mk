pkglib_LTLIBRARIES += plugins/loss_cross_entropy.la
plugins_loss_cross_entropy_la_SOURCES = plugins/loss/cross_entropy/cross_entropy.c \
  plugins/loss/cross_entropy/cross_entropy_kernel.h
plugins_loss_cross_entropy_la_LDFLAGS = $(plugin_ldflags)
