# Words about tables: find them, flush them; disable and drop clones.
#
# A part of hbase_admin.rb, where the whole is described; every word takes its request.
module HBaseTables
  JAVA_CLASS = /\A[a-z_]\w*(\.\w+)*\.[A-Z]\w*(\$\w+)?\z/

  # pattern: "namespace:table" with wildcards; system tables are left out.
  def tables(request)
    pattern = qualified(request.fetch('pattern'))
    found = pattern =~ /[*?]/ ? tables_like(pattern) : [descriptor_or_nil(pattern)].compact
    { 'tables' => found.map { |descriptor| summary_or_nil(descriptor) }.compact.sort_by { |table| table['table'] } }
  end

  def flush(request)
    @admin.flush(table_name(request))
    {}
  end

  # table (in the scratch namespace alone), timeout_ms.
  def disable(request)
    table = own_table_name(request, SCRATCH_NAMESPACE)
    return {} if @admin.isTableDisabled(table)

    finish(@admin.disableTableAsync(table), request)
  end

  # table (in the scratch namespace alone; disabled), timeout_ms → whether it was there.
  def drop(request)
    table = own_table_name(request, SCRATCH_NAMESPACE)
    return { 'dropped' => false } unless @admin.tableExists(table)

    finish(@admin.deleteTableAsync(table), request)
    { 'dropped' => true }
  end

  # table (in the canary's namespace alone): one family "c", one version; nothing happens when it is there.
  def create_canary(request)
    table = own_table_name(request, CANARY_NAMESPACE)
    return { 'created' => false } if @admin.tableExists(table)

    ensure_namespace(table)
    builder = TableDescriptorBuilder.newBuilder(table)
    builder.setColumnFamily(ColumnFamilyDescriptorBuilder.of('c'))
    finish(@admin.createTableAsync(builder.build), request)
    { 'created' => true }
  end

  private

  def tables_like(pattern)
    namespace, _, name = pattern.partition(':')
    wanted = [java_pattern(namespace), java_pattern(name)]
    @admin.listTableDescriptors.select do |descriptor|
      table = descriptor.getTableName
      parts = [table.getNamespaceAsString, table.getQualifierAsString]
      !table.isSystemTable && parts.zip(wanted).all? { |part, regexp| regexp.matcher(part).matches }
    end
  end

  def descriptor_or_nil(name)
    table = TableName.valueOf(name)
    table.isSystemTable ? nil : @admin.getDescriptor(table)
  rescue org.apache.hadoop.hbase.TableNotFoundException
    nil
  end

  # A table may be dropped between two questions.
  def summary_or_nil(descriptor)
    summary(descriptor)
  rescue org.apache.hadoop.hbase.TableNotFoundException
    nil
  end

  def summary(descriptor)
    table = descriptor.getTableName
    {
      'table' => qualified(table.getNameAsString), 'state' => state_of(table),
      'families_count' => descriptor.getColumnFamilyCount, 'regions_count' => @admin.getRegions(table).size,
      'read_only' => descriptor.isReadOnly, 'region_replication' => descriptor.getRegionReplication,
      'coprocessors' => descriptor.getCoprocessorDescriptors.map(&:getClassName).sort, 'plugins' => plugins(descriptor),
      'codecs' => descriptor.getColumnFamilies.map { |family| family.getCompressionType.toString }.uniq.sort - ['NONE'],
      'ciphers' => descriptor.getColumnFamilies.map(&:getEncryptionType).compact.uniq.sort
    }
  end

  # Attributes whose value names a class beside coprocessors: split and flush policies, store engines, compaction policies …
  def plugins(descriptor)
    families = descriptor.getColumnFamilies.to_a
    values = descriptor.getValues.to_a + families.flat_map { |f| f.getValues.to_a + f.getConfiguration.to_a }
    texts = values.map { |key, value| [key.to_s, value.to_s] }
    texts.select { |key, value| value =~ JAVA_CLASS && key !~ /\Acoprocessor/i }.map { |key, value| "#{key} #{value}" }.uniq.sort
  end

  def state_of(table)
    return 'ENABLED' if @admin.isTableEnabled(table)

    @admin.isTableDisabled(table) ? 'DISABLED' : 'CHANGING'
  end

  def ensure_namespace(table)
    namespace = table.getNamespaceAsString
    return if @admin.listNamespaceDescriptors.any? { |found| found.getName == namespace }

    @admin.createNamespace(NamespaceDescriptor.create(namespace).build)
  rescue org.apache.hadoop.hbase.NamespaceExistException
    nil # another request was faster, which is as good
  end
end
